/** A headless Chromium of the system for the tests of the console. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const place = places.find((one) => existsSync(one));

/** Why the tests are left out; CI never leaves them out. */
export const skipped =
  place === undefined && process.env.CI === undefined ? 'there is no Chromium: apt-get install chromium' : false;

const flags =
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync';

export async function openBrowser(context: { after(work: () => Promise<void>): void }): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: place ?? places[0]!, args: flags.split(' ') });
  context.after(() => browser.close());
  return browser;
}
