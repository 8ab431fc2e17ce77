// Loaded before Azurite: standard input is a pipe that the starting process holds open. When that process ends,
// however it ends, the pipe closes and the emulator stops with it.
process.stdin.on("end", () => process.kill(process.pid, "SIGINT"));
process.stdin.on("error", () => process.kill(process.pid, "SIGINT"));
process.stdin.resume();
