/** Every way in which xlembed can refuse, as a stable code that scripts may test for. */
export type ErrorCode =
  | 'ADDON_NOT_BUILT'
  | 'ADDON_LOAD_FAILED'
  | 'INVALID_ARGUMENT'
  | 'FILE_NOT_FOUND'
  | 'FILE_EXISTS'
  | 'FILE_READ_FAILED'
  | 'FILE_WRITE_FAILED'
  | 'RESUME_REFUSED'
  | 'PACKAGE_MISSING'
  | 'WORKER_FAILED'
  | 'MALFORMED_LINE'
  | 'MALFORMED_FILE'
  | 'EMPTY_DATASET'
  | 'DUPLICATE_ID'
  | 'TOKENIZER_INVALID'
  | 'TOKENIZER_FAILED'
  | 'VOCABULARY_MISMATCH'
  | 'MODEL_INVALID'
  | 'MODEL_UNSUPPORTED'
  | 'SAFETENSORS_INVALID'
  | 'CHECKPOINT_INVALID'
  | 'CHECKPOINT_REFUSED'
  | 'RESUME_REFUSED'
  | 'TENSOR_MISSING'
  | 'TENSOR_SHAPE_MISMATCH'
  | 'HUB_UNREACHABLE'
  | 'HUB_NOT_FOUND'
  | 'HUB_UNAUTHORIZED'
  | 'HUB_OFFLINE'
  | 'CHECKSUM_MISMATCH'
  | 'SCRIPT_INVALID'
  | 'SCRIPT_METHOD_MISSING'
  | 'SCRIPT_FAILED'
  | 'DEVICE_UNAVAILABLE'
  | 'DIMENSION_MISMATCH'
  | 'DISPOSED'
  | 'FAISS_UNAVAILABLE'
  | 'FAISS_FAILED'
  | 'INDEX_NOT_TRAINED'
  | 'INDEX_READ_ONLY'
  | 'OUT_OF_MEMORY'
  | 'LOSS_NOT_FINITE'
  | 'SAMPLER_IMPOSSIBLE'
  | 'TASK_DATA_INVALID'
  | 'PEER_FAILED'
  | 'PROCESS_LOST'
  | 'PROCESSES_DIFFER'
  | 'NATIVE_FAILED'
  | 'INTERRUPTED';

/**
 * The one error class: `code` for programs, `message` for what went wrong ("expected X for NAME, received
 * VALUE"), `hint` for the remedy.
 */
export class XlembedError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, hint = '', options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'XlembedError';
    this.code = code;
    this.hint = hint;
  }
}

/** Throws INVALID_ARGUMENT in one spelling: "expected X for NAME, received VALUE of TYPE". */
export function invalidArgument(name: string, expected: string, received: unknown, hint = ''): XlembedError {
  const type = received === null ? 'null' : Array.isArray(received) ? 'array' : typeof received;
  const shown = typeof received === 'string' ? JSON.stringify(received) : String(received);
  return new XlembedError(
    'INVALID_ARGUMENT',
    `expected ${expected} for ${name}, received ${shown.slice(0, 80)} of type ${type}`,
    hint,
  );
}
