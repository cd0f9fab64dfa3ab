// The function `hello`: who the body names, greeted.
export default {
  async fetch(request) {
    return new Response(`Hello, ${await request.text()}!`);
  },
};
