// Opens the page Live in a real headless Chromium whose camera is a file, starts the stream, and says, as one line of JSON, what it saw.
//
//   node live.mjs '{"url": …, "camera": file.mjpeg, "seconds": 6, "width": 1280, "scheme": "light", "out": file.png,
//                   "numbered": false, "walled": false, "awaits": text, "chromium": …}'
//
// With "numbered", the frames carry their number (live_camera.py), and the time from a frame's coming from the camera in the
// browser to its coming back from the app, with words on it, is measured. It finds playwright-core through CLIP_HAR_NODE_MODULES.
import { createRequire } from 'module';
import { readFileSync } from 'fs';

const asked = { seconds: 6, width: 1280, scheme: 'light', ...JSON.parse(process.argv[2]) };
const require = createRequire(`${process.env.CLIP_HAR_NODE_MODULES || process.cwd()}/`);
const { chromium } = require('playwright-core');
const WAIT = 60000;
const seen = { labels: [], pace: '', external: [], problems: [], playing: null, strip: null, after: [], shown: 0, stopped: false };

const browser = await chromium.launch({
  executablePath: asked.chromium || '/usr/bin/chromium',
  args: [
    '--no-sandbox', '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
    `--use-file-for-fake-video-capture=${asked.camera}`,
  ],
});
const page = await browser.newPage({ viewport: { width: asked.width, height: 900 }, colorScheme: asked.scheme });
page.setDefaultTimeout(WAIT);
page.on('request', (request) => {
  const url = request.url();
  if (!/^(data|blob|about):/.test(url) && !['127.0.0.1', 'localhost'].includes(new URL(url).hostname)) seen.external.push(url);
});
await page.addInitScript(() => { // a second capture of the same file would disturb the first
  const devices = navigator.mediaDevices;
  if (!devices) return;
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (...wanted) => { window.cameraOfTheTest = await open(...wanted); return window.cameraOfTheTest; };
});
if (asked.walled) { // as behind a firewall that lets only a TURN server through, without one
  await page.addInitScript(() => {
    const Open = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Open { constructor(given) { super({ ...given, iceTransportPolicy: 'relay' }); } };
  });
}
await page.goto(`${asked.url}/live`);
const component = page.frameLocator('iframe[title*="webrtc"]');
await component.getByRole('button', { name: 'Start' }).click();
if (asked.awaits) {
  await page.getByText(asked.awaits).first().waitFor();
  seen.said = asked.awaits;
} else {
  await page.getByText('answers a second').first().waitFor();
  await component.locator('video').first().waitFor();
  const frame = page.frames().find((one) => one.url().includes('webrtc'));
  await frame.waitForFunction(() => { const video = document.querySelector('video'); return video && video.videoWidth > 0; });
  if (asked.numbered) await page.waitForTimeout(3000); // codecs find their rate
  const measured = frame.evaluate(measure, { seconds: asked.seconds, numbered: !!asked.numbered });
  const until = Date.now() + 1000 * asked.seconds;
  while (Date.now() < until) {
    const label = await page.locator('[data-testid="stMain"] h5').first().textContent({ timeout: 1000 }).catch(() => null);
    if (label && seen.labels.at(-1) !== label) seen.labels.push(label);
    await page.waitForTimeout(300);
  }
  seen.pace = await page.getByText('answers a second').first().textContent();
  Object.assign(seen, await measured);
  seen.problems = await page.locator('[data-testid="stAlert"]').allTextContents();
}
if (asked.out) await page.screenshot({ path: asked.out });
if (asked.axe) {
  await page.evaluate(readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8'));
  const found = await page.evaluate(() => window.axe.run());
  seen.serious = found.violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))
    .map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 200)}`);
}
if (!asked.awaits) {
  await component.getByRole('button', { name: 'Stop' }).click();
  await page.getByText('Press Start').first().waitFor();
  seen.stopped = true;
}
await browser.close();
console.log(JSON.stringify(seen));

// In the component's page: how often frames of the app's picture come, how late numbered ones are, what its lower part looks like.
// Frames are read from the tracks: a headless browser without a graphics card paints far fewer than it decodes.
async function measure({ seconds, numbered }) {
  const BITS = 10;
  const theirs = document.querySelector('video');
  const number = async (frame) => {
    const width = frame.codedWidth;
    const y = Math.round(frame.codedHeight / 80) * 2;
    const bytes = new Uint8Array(frame.allocationSize({ rect: { x: 0, y, width, height: 2 } }));
    await frame.copyTo(bytes, { rect: { x: 0, y, width, height: 2 } }); // I420, NV12: luma first
    let value = 0;
    for (let bit = 0; bit < BITS; bit += 1) value = 2 * value + (bytes[Math.round((bit + 0.5) * width / BITS)] > 128 ? 1 : 0);
    return value;
  };
  let going = true;
  const watch = async (track, act) => {
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 2 }).readable.getReader();
    while (going) {
      const { value: frame, done } = await reader.read();
      if (done) break;
      const now = performance.now();
      try {
        act(numbered ? await number(frame) : 0, now);
      } finally {
        frame.close(); // one that is kept holds up the camera
      }
    }
    reader.cancel();
  };
  const first = new Map();
  const after = [];
  let shown = 0;
  let own = null;
  const watching = [];
  if (numbered) {
    own = window.cameraOfTheTest.getVideoTracks()[0].clone();
    watching.push(watch(own, (value, now) => { first.set(value, now); }));
  }
  watching.push(watch(theirs.srcObject.getVideoTracks()[0].clone(), (value, now) => {
    shown += 1;
    const begun = first.get(value);
    if (own && begun !== undefined && now - begun < 3000) after.push(now - begun);
  }));
  await Promise.race([...watching, new Promise((resolve) => { setTimeout(resolve, 1000 * seconds); })]);
  going = false;
  const height = Math.round(theirs.videoHeight * 0.16);
  const canvas = document.createElement('canvas');
  canvas.width = theirs.videoWidth; canvas.height = height;
  const pen = canvas.getContext('2d');
  pen.drawImage(theirs, 0, theirs.videoHeight - height, canvas.width, height, 0, 0, canvas.width, height);
  const strip = pen.getImageData(0, 0, canvas.width, height).data;
  let dark = 0;
  let bright = 0;
  for (let at = 0; at < strip.length; at += 4) {
    const level = (strip[at] + strip[at + 1] + strip[at + 2]) / 3;
    dark += level < 90 ? 1 : 0;
    bright += level > 215 ? 1 : 0;
  }
  if (own) own.stop();
  const all = strip.length / 4;
  return { shown, after, playing: [theirs.videoWidth, theirs.videoHeight], strip: { dark: dark / all, bright: bright / all } };
}
