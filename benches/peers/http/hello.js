// The function `hello`: greets the name in the body.
export default {
  async fetch(request) {
    return new Response(`Hello, ${await request.text()}!`);
  },
};
