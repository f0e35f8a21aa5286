/** Where the tests run what a GPU can run too: XLEMBED_TEST_DEVICE, else the CPU. */
export const device = process.env.XLEMBED_TEST_DEVICE ?? 'cpu';
