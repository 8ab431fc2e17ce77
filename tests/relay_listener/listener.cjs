// A listener on Microsoft's own library: it takes in senders of one hybrid connection and pipes each to one TCP target.
// The environment says where: NAMESPACE, ENTITY, KEY_NAME, KEY and TARGET_PORT; NODE_EXTRA_CA_CERTS whom to trust.
"use strict";

const net = require("net");
const { randomUUID } = require("crypto");
const WebSocket = require("hyco-ws");

const { NAMESPACE, ENTITY, KEY_NAME, KEY, TARGET_PORT } = process.env;

// createRelayListenUri writes port 443 into the address; the server takes any, so that it is written here instead.
const uri = `wss://${NAMESPACE}/$hc/${ENTITY}?sb-hc-action=listen&sb-hc-id=${randomUUID()}`;
// A function, as for a listener that lives for days: the library renews the token with it.
const token = () => WebSocket.createRelayToken(uri, KEY_NAME, KEY);

const server = WebSocket.createRelayedServer({ server: uri, token }, (sender) => {
  // The library tells of a sender before the rendezvous is there; until then nothing can be sent.
  sender.on("open", () => pipe(sender));
  sender.on("error", (error) => say("sender", error.message));
});
server.on("listening", () => say("listening"));
server.on("error", (event) => say("refused", event.message || String(event)));

function pipe(sender) {
  const target = net.connect(Number(TARGET_PORT), "127.0.0.1");
  target.on("data", (chunk) => sender.readyState === WebSocket.OPEN && sender.send(chunk, { binary: true }));
  target.on("end", () => sender.close(1000));
  target.on("error", () => sender.close(1000));
  sender.on("message", (data) => target.write(data));
  sender.on("close", (code) => {
    say("closed", String(code));
    target.destroy();
  });
}

function say(...words) {
  process.stdout.write(words.join(" ") + "\n");
}

// Standard input is a pipe that the starting process holds open: when that ends, however it ends, so does this.
process.stdin.on("end", () => process.exit(0));
process.stdin.on("error", () => process.exit(0));
process.stdin.resume();
