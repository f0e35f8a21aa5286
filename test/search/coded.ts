import assert from 'node:assert/strict';

/** For assert.throws and assert.rejects: an error with this code whose message matches. */
export const coded =
  (code: string, text = /./) =>
  (error: { code?: string; message: string }) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  };
