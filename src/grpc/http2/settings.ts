/**
 * The payload of SETTINGS frames (RFC 9113 §6.5). Of all settings of a peer only the window of streams changes what we send:
 * we push nothing, keep to the usual size of frames and use no header table.
 *
 * Must not know connections.
 */
import {
  ConnectionFault,
  flowControlError,
  frameSettings,
  frameSizeError,
  payloadLimit,
  payloadUsual,
  protocolError,
  settingPayload,
  settingPush,
  settingWindow,
  windowLimit,
} from './frames.js';
import type { Outbox } from './outbox.js';

const settingBytes = 6;

/** @returns the window of streams; undefined when nothing is said of it */
export function readSettings(bytes: Buffer, start: number, end: number): number | undefined {
  if ((end - start) % settingBytes !== 0) throw new ConnectionFault(frameSizeError, 'SETTINGS');
  let window: number | undefined;
  for (let at = start; at < end; at += settingBytes) {
    const setting = bytes.readUInt16BE(at);
    const value = bytes.readUInt32BE(at + 2);
    if (setting === settingWindow) {
      if (value > windowLimit) throw new ConnectionFault(flowControlError, `a window of ${value} bytes`);
      window = value;
    } else if (setting === settingPush && value > 1) throw new ConnectionFault(protocolError, `ENABLE_PUSH ${value}`);
    else if (setting === settingPayload && (value < payloadUsual || value > payloadLimit)) {
      throw new ConnectionFault(protocolError, `frames of ${value} bytes`);
    }
  }
  return window;
}

export function writeSettings(outbox: Outbox, settings: readonly (readonly [setting: number, value: number])[]): void {
  let at = outbox.frame(frameSettings, 0, 0, settings.length * settingBytes);
  for (const [setting, value] of settings) {
    outbox.bytes.writeUInt16BE(setting, at);
    outbox.bytes.writeUInt32BE(value, at + 2);
    at += settingBytes;
  }
}
