// Drives the app in a real headless Chromium and says, as one line of JSON, what it saw.
//
//   node drive.mjs '{"url": …, "pictures": [file, …], "zip": file, "bad": file, "out": folder, "scheme": "light",
//                    "pages": ["recognise", "batch@phone", …], "widths": ["desktop", "phone"]}'
//
// It finds playwright-core through NODE_PATH or CLIP_HAR_NODE_MODULES.
import { createRequire } from 'module';
import { readFileSync, mkdirSync } from 'fs';

const asked = JSON.parse(process.argv[2]);
const require = createRequire(`${process.env.CLIP_HAR_NODE_MODULES || process.cwd()}/`);
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const WIDTHS = { desktop: 1280, phone: 390 };
const WAIT = 45000;
const seen = { axe: {}, external: [], tracebacks: [], checks: {}, overflow: {} };

const browser = await chromium.launch({
  executablePath: asked.chromium || '/usr/bin/chromium',
  args: ['--no-sandbox', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'],
});

function watch(page) {
  page.setDefaultTimeout(WAIT);
  page.on('request', (request) => {
    const url = request.url();
    const local = /^(data|blob|about):/.test(url) || ['127.0.0.1', 'localhost'].includes(new URL(url).hostname);
    if (!local) seen.external.push(url);
  });
}

// Streamlit is at rest when its running man is gone.
async function settled(page) {
  await page.waitForTimeout(400);
  await page.waitForFunction(() => !document.querySelector('[data-testid="stStatusWidget"]'), null, { timeout: WAIT });
  await page.waitForFunction(() => !document.querySelector('[data-stale="true"]'), null, { timeout: WAIT });
  await page.waitForTimeout(500);
}

async function judge(page, name, width) {
  await settled(page);
  const text = await page.locator('body').innerText();
  if (/Traceback|File ".*", line \d+/.test(text)) seen.tracebacks.push(name);
  seen.overflow[name] = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  const height = await page.evaluate(() => document.querySelector('[data-testid="stMain"]').scrollHeight);
  await page.setViewportSize({ width, height: Math.max(800, Math.min(height + 40, 4000)) });
  await page.waitForTimeout(600);
  if (asked.out) await page.screenshot({ path: `${asked.out}/${name}.png` });
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run());
  seen.axe[name] = found.violations.map((one) => ({
    id: one.id,
    impact: one.impact,
    nodes: one.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 200)} | ${(node.any[0] || node.all[0] || node.none[0] || {}).message}`),
  }));
  await page.setViewportSize({ width, height: 900 });
}

async function open(page, path) {
  await page.goto(`${asked.url}/${path}`);
  await page.getByRole('heading', { level: 1 }).first().waitFor();
  await settled(page);
}

const shows = async (page, text) => { await page.getByText(text).first().waitFor(); return true; };
const tour = {
  async recognise(page, name) {
    await open(page, '');
    await page.locator('input[type=file]').first().setInputFiles([...asked.pictures.slice(0, 2), asked.bad]);
    await shows(page, 'answered in');
    seen.checks[`${name}: a bad picture is a sentence`] = await shows(page, 'This picture has no answer');
    await page.getByText('This is wrong').first().click();
    await page.getByRole('combobox', { name: /What does it show/ }).first().click();
    await page.getByRole('option').nth(2).click();
    await page.getByRole('button', { name: 'Send' }).first().click();
    seen.checks[`${name}: feedback is thanked for`] = await shows(page, 'Thank you. Noted as');
  },
  async heat(page) {
    await open(page, '');
    await page.locator('input[type=file]').first().setInputFiles([asked.pictures[0]]);
    await page.getByText('Show what the answer rests on').click();
    await shows(page, 'the warmer, the more');
  },
  async camera(page, name) {
    await open(page, '');
    await page.getByText('Camera', { exact: true }).click();
    await page.waitForFunction(() => (document.querySelector('video') || {}).videoWidth > 0);
    await page.waitForTimeout(1000);
    await page.getByRole('button', { name: 'Take Photo' }).click();
    seen.checks[`${name}: the camera's picture is answered`] = await shows(page, 'answered in');
  },
  async paste(page, name) {
    await open(page, '');
    await page.getByText('Paste', { exact: true }).click();
    const box = page.locator('textarea[data-testid="stChatInputTextArea"]');
    await box.click();
    const bytes = [...readFileSync(asked.pictures[0])];
    await box.evaluate((element, data) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(data)], 'pasted.jpg', { type: 'image/jpeg' }));
      element.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true, cancelable: true }));
    }, bytes);
    await page.waitForTimeout(1500);
    await box.press('Enter');
    seen.checks[`${name}: a pasted picture is answered`] = await shows(page, 'answered in');
  },
  async any_action(page, name) {
    await open(page, 'any_action');
    if (await page.getByText('answers for the labels it was trained with').count()) return;
    await page.getByLabel('Your labels, one a line').fill('riding a bicycle\nplaying the guitar\nsleeping in a bed');
    await page.getByLabel('Your labels, one a line').press('Control+Enter');
    await settled(page);
    await page.locator('input[type=file]').first().setInputFiles([asked.pictures[0]]);
    seen.checks[`${name}: own labels are answered`] = await shows(page, 'The trained labels');
    await shows(page, 'answered in');
  },
  async batch_choose(page) {
    await open(page, 'batch');
    await page.locator('input[type=file]').first().setInputFiles(asked.zip);
    await page.getByRole('button', { name: /^Recognise \d+/ }).waitFor();
  },
  async batch(page, name) {
    await open(page, 'batch');
    await page.locator('input[type=file]').first().setInputFiles(asked.zip);
    await page.getByRole('button', { name: /^Recognise \d+/ }).click();
    await page.getByRole('button', { name: 'Download CSV' }).waitFor({ timeout: 2 * WAIT });
    await settled(page);
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download CSV' }).click()]);
    const rows = readFileSync(await download.path(), 'utf8').trim().split('\r\n').length - 1;
    seen.checks[`${name}: the download has a row a picture`] = rows === asked.rows;
  },
  async model(page, name) {
    await open(page, 'model');
  },
};
for (const part of ['Leaderboard', 'Confusion', 'Actions', 'Reliability', 'Examples', 'Versions']) {
  tour[`model_${part.toLowerCase()}`] = async (page) => {
    await open(page, 'model');
    await page.getByText(part, { exact: true }).first().click();
  };
}
tour.drift = async (page, name) => {
  await open(page, 'drift');
  if (asked.drift) seen.checks[`${name}: what changed is named`] = await shows(page, asked.drift);
};
for (const part of ['Accuracy', 'Over time', 'Actions', 'Pictures']) {
  tour[`drift_${part.toLowerCase().replace(' ', '_')}`] = async (page) => {
    await open(page, 'drift');
    await page.getByText(part, { exact: true }).first().click();
  };
}
for (const part of ['Card', 'Rejected', 'Label errors']) {
  tour[`data_${part.toLowerCase().replace(' ', '_')}`] = async (page) => {
    await open(page, 'data');
    await page.getByText(part, { exact: true }).first().click();
  };
}
tour.dead = async (page, name) => {
  await open(page, '');
  if ((await page.getByText('Ask another service').count()) && !(await page.getByText('Ask another service').first().isVisible())) {
    await page.getByTestId('stExpandSidebarButton').click();
  }
  await page.getByText('Ask another service').click();
  await page.getByLabel('Address').fill('http://127.0.0.1:9');
  await page.getByRole('button', { name: 'Use it' }).click();
  seen.checks[`${name}: a dead service is a sentence`] = await shows(page, 'No service answers at');
  await page.getByRole('button', { name: 'Try again' }).waitFor();
};

if (asked.out) mkdirSync(asked.out, { recursive: true });
for (const [kind, width] of Object.entries(WIDTHS)) {
  for (const wanted of asked.pages || Object.keys(tour)) {
    const [name, only] = wanted.split('@');
    if (only ? only !== kind : asked.widths && !asked.widths.includes(kind)) continue;
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: asked.scheme || 'light' });
    const page = await context.newPage();
    watch(page);
    const label = `${name}_${kind}${asked.scheme === 'dark' ? '_dark' : ''}`;
    try {
      await tour[name](page, label);
      await judge(page, label, width);
    } catch (error) {
      seen.checks[`${label}: ${String(error).split('\n')[0].slice(0, 200)}`] = false;
      if (asked.out) await page.screenshot({ path: `${asked.out}/${label}_failed.png` });
    }
    await context.close();
  }
}
await browser.close();
console.log(JSON.stringify(seen));
