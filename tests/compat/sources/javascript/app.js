// Reverses its input, as a component of world `plain`.
export const handler = {
  handle(input) {
    return Uint8Array.from(input).reverse();
  },
};
