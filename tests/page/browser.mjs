// What the cases share: a browser, people in it, and a look at everything that must not happen.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const { chromium } = createRequire(`${process.env.PLAYWRIGHT}/`)('playwright-core');

export const DEMO = process.env.DEMO;
export const ROOM = 'andromeda-rollouts';
export const ID = 'andromeda-staging-4.3';
const WAIT_MS = 20_000; // a busy machine with two browsers
const SETTLE_MS = 1_500; // what a jump of the clock sets going is done within milliseconds

// Runs one case: `play` gets ways to open windows; afterwards nothing may have been loaded from elsewhere or gone wrong unseen.
export async function scenario(play, { tolerate } = {}) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  const wrong = [];
  const enter = async (address, { width = 1280, height = 860, colorScheme = 'light' } = {}) => {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme });
    context.setDefaultTimeout(WAIT_MS);
    const page = await context.newPage();
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()) && !tolerate?.test(message.text())) wrong.push(`console: ${message.text()}`);
    });
    page.on('pageerror', (error) => wrong.push(`script: ${error.stack}`));
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (url.protocol !== 'data:' && url.origin !== DEMO) wrong.push(`loaded from elsewhere: ${url}`);
    });
    await page.addInitScript(() => addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
    await page.goto(address);
    return page;
  };
  const open = async (person, { path = `/rooms/${ROOM}`, ...look } = {}) => {
    const page = await enter(`${DEMO}${path}?as=${person}`, look);
    await live(page);
    return page;
  };
  try {
    await play({ open, enter });
    assert.deepEqual(wrong, []);
  } finally {
    await browser.close();
  }
  process.exit(0);
}

export const live = (page) => page.waitForFunction(() => document.body.dataset.connection === 'live');

export async function become(page, person) {
  await page.getByLabel('You are').selectOption(person);
  await page.waitForFunction((id) => new URLSearchParams(location.search).get('as') === id, person);
}

export async function say(page, text) {
  await page.locator('#box').fill(text);
  await page.locator('#box').press('Enter');
}

export const card = (page) => page.locator('#pinned .card');
export const button = (page, name) => card(page).getByRole('button', { name }).first();
export const answer = (page, text, kind = '') => page.locator(`.note${kind}`).filter({ hasText: text }).first().waitFor();
export const press = (page, name) => button(page, name).click();
export const shows = (page, text) => card(page).getByText(text).first().waitFor();

export async function startRollout(page) {
  await say(page, '/rollout start 4.3');
  await card(page).getByRole('heading', { name: 'Promote Changeset v4.3 To Staging' }).waitFor();
}

// Fills the open dialog in by label, and sends it.
export async function fill(page, values = {}) {
  const dialog = page.getByRole('dialog');
  await dialog.waitFor();
  for (const [label, value] of Object.entries(values)) {
    const field = dialog.getByLabel(label);
    await (value === true ? field.check() : field.fill(value));
  }
  await dialog.locator('#ask-send').click();
  await dialog.waitFor({ state: 'hidden' });
}

// Moves the clock until a button is there: how often depends on how many deliveries and actions lie between.
export async function jumpUntil(page, name) {
  for (let jumps = 0; jumps < 30; jumps += 1) {
    const there = await button(page, name).waitFor({ timeout: jumps ? SETTLE_MS : 100 }).then(() => true, () => false);
    if (there) return;
    await page.getByRole('button', { name: 'Jump to next' }).click();
  }
  assert.fail(`the clock was moved 30 times and ${name} did not come`);
}

export async function api(path, body) {
  const response = await fetch(DEMO + path, body && {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
  });
  assert.ok(response.ok, `${path}: ${response.status}`);
  return response.json();
}

const stepsOf = (view) => view.phases.flatMap((phase) => phase.steps);

// The rollout, and those of its checklists that are open.
async function family() {
  const lines = await api('/api/rollouts');
  const open = lines.filter((line) => line.parent === ID && line.status === 'open').map((line) => line.id);
  return Promise.all([ID, ...open].map((id) => api(`/api/rollouts/${id}`)));
}

// Presses over the API what is not the point of a case: whoever is awaited does the first thing the card offers.
export async function playUntil(done) {
  const verbs = { acknowledge: 'ack', task: 'done', ask: 'answer', run: 'run', decide: 'go', checklist: 'done' };
  let before;
  for (let turn = 0; turn < 200; turn += 1) {
    const views = await family();
    if (done(stepsOf(views[0]))) return;
    const messages = await api(`/api/rooms/${ROOM}/messages`);
    const presses = views.flatMap((view) => {
      const step = stepsOf(view).find((one) => one.status === 'open' && one.awaited.length > 0);
      const shown = messages.find((message) => message.card && message.rollout === view.id);
      const pressed = step && shown?.buttons.find((one) => one.id.includes(`.${verbs[step.kind]}.`));
      return pressed ? [{ step, shown, pressed }] : [];
    });
    const sequences = views.map((view) => view.sequence).join();
    if (presses.length) {
      const { step, shown, pressed } = presses[0];
      const own = shown.fields.filter((field) => field.button === pressed.id && field.required);
      const filled = (field) => field.value ?? field.example ?? (field.type === 'confirm' ? 'yes' : 'x');
      const fields = Object.fromEntries(own.map((field) => [field.name, filled(field)]));
      await api(`/api/rooms/${ROOM}/messages/${shown.id}/press`, { person: step.awaited[0].id, button: pressed.id, fields });
    } else if (before === sequences && !views.some((view) => stepsOf(view).some((one) => one.awaited.length))) {
      // Nobody is awaited and nothing is under way any more: only time helps.
      await api('/api/clock/advance', { to: 'next' });
    }
    before = sequences;
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  assert.fail('the rollout did not get there');
}

// Asks whoever runs this to kill or start the demo.
const replies = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
export async function ask(what) {
  process.stdout.write(`${what}\n`);
  return (await replies.next()).value;
}
export const demo = async (what) => assert.equal(await ask(what), 'done');
