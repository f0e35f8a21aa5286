import { loadNative } from '#xlembed/native.js';

export const hasFaiss = loadNative().info().faiss !== '';
/** For tests of what only an addon that was built with FAISS can do: the set-up goes on where there is none to install. */
export const withFaiss = { skip: hasFaiss ? false : 'this addon is built without FAISS' };
