/**
 * The gate of a stream: no message is read while too many of those before it are unanswered.
 *
 * The stream object of grpc-js reads up to 16 messages ahead, of any size; the gate stands below it, where a read is asked
 * for, so what is not read stays in the flow control window of its sender. It counts on every message getting one answer.
 *
 * Must not know messages or the gRPC library: the types say what it needs of a call.
 */

interface Listener {
  onReceiveMetadata(metadata: unknown): void;
  onReceiveMessage(message: unknown): void;
  onReceiveHalfClose(): void;
  onCancel(): void;
}

interface GatedCall {
  start(listener: Listener): void;
  sendMessage(message: unknown, callback: () => void): void;
  startRead(): void;
}

/** Changes `call` so that at most `inFlightMax` of its messages are read and unanswered. */
export function gate(call: GatedCall, inFlightMax: number): void {
  const start = call.start.bind(call);
  const sendMessage = call.sendMessage.bind(call);
  const startRead = call.startRead.bind(call);
  let unanswered = 0;
  let isReadHeld = false;
  call.startRead = () => {
    if (unanswered >= inFlightMax) isReadHeld = true;
    else startRead();
  };
  call.sendMessage = (message, callback) => {
    sendMessage(message, callback);
    unanswered--;
    if (!isReadHeld) return;
    isReadHeld = false;
    startRead();
  };
  call.start = (listener) =>
    start({
      onReceiveMetadata: (metadata) => listener.onReceiveMetadata(metadata),
      onReceiveMessage: (message) => {
        unanswered++;
        listener.onReceiveMessage(message);
      },
      onReceiveHalfClose: () => listener.onReceiveHalfClose(),
      onCancel: () => listener.onCancel(),
    });
}
