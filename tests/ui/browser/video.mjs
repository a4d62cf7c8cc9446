// Opens the page Video in a real headless Chromium, gives it a clip, and says, as one line of JSON, what it saw.
//
//   node video.mjs '{"url": …, "clip": file.mp4, "widths": [1280, 390], "scheme": "light", "out": folder, "chromium": …}'
//
// It finds playwright-core and axe-core through CLIP_HAR_NODE_MODULES.
import { createRequire } from 'module';
import { readFileSync } from 'fs';

const asked = { widths: [1280], scheme: 'light', ...JSON.parse(process.argv[2]) };
const require = createRequire(`${process.env.CLIP_HAR_NODE_MODULES || process.cwd()}/`);
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const seen = { external: [], written: null, played: null, charts: 0, serious: [], overflow: [] };

const browser = await chromium.launch({ executablePath: asked.chromium || '/usr/bin/chromium', args: ['--no-sandbox'] });
for (const width of asked.widths) {
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: asked.scheme });
  page.setDefaultTimeout(60000);
  page.on('request', (request) => {
    const url = request.url();
    if (!/^(data|blob|about):/.test(url) && !['127.0.0.1', 'localhost'].includes(new URL(url).hostname)) seen.external.push(url);
  });
  await page.goto(`${asked.url}/video`);
  await page.getByRole('heading', { level: 1 }).first().waitFor();
  await page.locator('input[type=file]').first().setInputFiles(asked.clip);
  await page.getByText('Choose a row').first().waitFor();
  await page.locator('[data-testid="stVegaLiteChart"] svg.marks').first().waitFor();
  await page.waitForTimeout(1500);
  seen.charts += await page.locator('[data-testid="stVegaLiteChart"] svg.marks').count();
  seen.overflow.push(await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth));
  if (asked.out) {
    const height = await page.evaluate(() => document.querySelector('[data-testid="stMain"]').scrollHeight);
    await page.setViewportSize({ width, height: Math.min(height + 40, 4000) });
    await page.waitForTimeout(800);
    await page.screenshot({ path: `${asked.out}/video-${width}-${asked.scheme}.png` });
    await page.setViewportSize({ width, height: 900 });
  }
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run());
  for (const one of found.violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))) {
    seen.serious.push(`${one.id}: ${one.nodes[0].html.slice(0, 200)}`);
  }
  if (seen.written === null) {
    const button = page.getByRole('button', { name: 'Everything (JSON)' });
    const [download] = await Promise.all([page.waitForEvent('download'), button.click()]);
    seen.written = JSON.parse(readFileSync(await download.path(), 'utf8'));
    const last = seen.written.segments.length; // rows are 35 pixels high, the first is the header
    const table = page.locator('[data-testid="stDataFrame"]').first();
    await table.scrollIntoViewIfNeeded();
    const box = await table.boundingBox();
    await page.mouse.click(box.x + 18, box.y + 35 * last + 17);
    await page.waitForFunction(() => (document.querySelector('video') || {}).currentTime > 0, null, { timeout: 20000 }).catch(() => {});
    seen.played = await page.evaluate(() => document.querySelector('video').currentTime);
  }
  await page.close();
}
await browser.close();
console.log(JSON.stringify(seen));
