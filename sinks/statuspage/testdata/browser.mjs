// Looks at pages in a real Chromium: browser.mjs MODULES CHROMIUM PROFILE JOBS, where
// MODULES is a node_modules folder and JOBS the JSON of a list of
//   {url, width, height, scheme, check, open, shot, tall, print}
// Prints a JSON list of {url, violations, incomplete, errors, title, width}, one a job.
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, chromiumPath, profile, jobs] = process.argv.slice(2);
const { chromium } = await import(pathToFileURL(path.join(modules, 'playwright-core', 'index.mjs')));
const axe = fs.readFileSync(path.join(modules, 'axe-core', 'axe.min.js'), 'utf8');
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const out = [];
const context = await chromium.launchPersistentContext(profile, { executablePath: chromiumPath, args: flags, headless: true });
try {
  for (const job of JSON.parse(jobs)) {
    const page = await context.newPage();
    const errors = [];
    page.on('console', (m) => { if (m.type() === 'error' || m.type() === 'warning') errors.push(m.text()); });
    page.on('pageerror', (e) => errors.push(String(e)));
    page.on('dialog', (d) => { errors.push('dialog: ' + d.message()); d.dismiss(); });
    page.on('request', (r) => { if (new URL(r.url()).origin !== new URL(job.url).origin) errors.push('asks elsewhere: ' + r.url()); });
    await page.setViewportSize({ width: job.width, height: job.height });
    await page.emulateMedia({ colorScheme: job.scheme, media: job.print ? 'print' : 'screen' });
    await page.goto(job.url);
    if (job.open) await page.locator('summary').first().click();
    const found = { url: job.url, violations: [], incomplete: [], errors, title: await page.title(), width: await page.evaluate(() => document.documentElement.scrollWidth), styled: await page.evaluate(() => getComputedStyle(document.querySelector('main')).maxWidth) };
    if (job.shot) await page.screenshot({ path: job.shot, fullPage: true, clip: { x: 0, y: 0, width: job.width, height: job.tall } });
    if (job.check) {
      // Through the debugger: the page's own policy forbids scripts.
      await page.evaluate(axe);
      const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations', 'incomplete'] }));
      found.ran = result.passes.length;
      for (const v of result.violations) found.violations.push(v.id + ': ' + v.help + ': ' + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200)).join(' | '));
      for (const v of result.incomplete) found.incomplete.push(v.id + ': ' + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200)).join(' | '));
    }
    out.push(found);
    await page.close();
  }
} finally {
  await context.close();
}
console.log(JSON.stringify(out));
