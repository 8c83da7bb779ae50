// What the page does in the browser: it sends what is typed and pressed, asks back where a press needs it, and follows what
// changes. The server renders everything; after a change the same address is fetched again and what differs is taken over.
'use strict';

const byId = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const { dataset = {}, ...rest } = properties;
  const node = Object.assign(document.createElement(tag), rest);
  Object.assign(node.dataset, dataset);
  node.append(...children);
  return node;
};

// --- Who one is: named in the address, so that two windows can be two people; remembered for the next window. ---

const REMEMBERED = 'tminus-person';
const remembered = () => { try { return localStorage.getItem(REMEMBERED); } catch { return null; } };
const who = byId('who');
// Where one logs in, the log-in says who acts.
const person = () => who?.value;

function become(id) {
  try { localStorage.setItem(REMEMBERED, id); } catch { /* private windows forget; the address still says it */ }
  const here = new URL(location.href);
  here.searchParams.set('as', id);
  history.replaceState(null, '', here);
}

if (who) {
  const before = remembered();
  const known = before && [...who.options].some((option) => option.value === before);
  if (known && !new URLSearchParams(location.search).has('as')) who.value = before;
  become(who.value);
  who.addEventListener('change', () => { become(who.value); refresh(); });
}

// Links stay within the person: a second window must not turn into the first one's.
document.addEventListener('click', (event) => {
  const link = event.target.closest?.('a[href^="/"]');
  if (!link || !who) return;
  const to = new URL(link.href);
  to.searchParams.set('as', person());
  link.href = to;
}, true);

// --- Sending. ---

const RETRY_AFTER_MS = 500; // long enough for a hiccup, short enough not to be noticed
const key = () => crypto.randomUUID?.() // only there on https and localhost
  ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

// Each attempt carries the same key, so that something that did arrive is not done twice.
async function send(path, body, idempotencyKey = key()) {
  const attempt = () => fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': idempotencyKey },
    body: JSON.stringify({ person: person(), ...body }),
  });
  let response;
  try {
    response = await attempt();
  } catch {
    await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS));
    try { response = await attempt(); } catch { throw new Error('T-minus can’t be reached. What you sent may not have arrived; the card shows what did.'); }
  }
  const told = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(told.detail ?? `The server answered ${response.status}.`);
  return told;
}

// Shows the wait at once, and ends it whatever comes. Not by `disabled`, which would take the focus away.
async function pending(button, work) {
  if (button.dataset.pending) return undefined;
  button.dataset.pending = 'yes';
  button.setAttribute('aria-busy', 'true');
  try {
    return await work();
  } finally {
    delete button.dataset.pending;
    button.removeAttribute('aria-busy');
  }
}

// --- Answers: for the one who asked, until they are put away. ---


function note(kind, title, content) {
  const words = make('div', { className: 'note-words' });
  // Rendered from Markdown by the server, which lets no markup of anybody through.
  if (content.html) words.innerHTML = content.html; else words.textContent = content.text;
  const close = make('button', { type: 'button', textContent: '✕', ariaLabel: 'Put this answer away' });
  const shown = make('div', { className: `note ${kind}` }, make('b', { textContent: title }), words, close);
  close.addEventListener('click', () => { shown.remove(); byId('box')?.focus(); });
  return shown;
}

function tell(shown, where = byId('answers')) {
  // The latest alone: what was answered before would take the room from the conversation.
  where.replaceChildren(shown);
}

function tellAnswer(told, where) {
  if (told.answer == null) return;
  const title = told.refused ? 'Nothing changed. Only you see this.' : 'Only you see this.';
  tell(note(told.refused ? 'refused' : 'done', title, { html: told.answer_html }), where);
}

const tellError = (error, where) => tell(note('error', 'That did not work.', { text: error.message }), where);

// --- Asking back: a confirmation, a reason, a form. One dialog, outside of what live updates replace. ---

const dialog = byId('ask');
let asked = null;

function fieldOf(field, index) {
  const id = `ask-${index}`;
  const wrong = make('p', { className: 'wrong', id: `${id}-wrong`, hidden: true });
  const row = make('div', { className: 'field', dataset: { name: field.name } });
  const label = make('label', { htmlFor: id, textContent: field.label + (field.required ? '' : ' (optional)') });
  const common = { id, required: Boolean(field.required) };
  const chosen = (field.value ?? '').split(',').map((one) => one.trim());
  if (field.type === 'choice' && field.many) {
    const choices = field.options.map((option, at) => make('label', { className: 'choice' },
      make('input', { type: 'checkbox', value: option, checked: chosen.includes(option), id: `${id}-${at}` }), option));
    row.append(make('fieldset', {}, make('legend', { textContent: label.textContent }), ...choices));
    row.read = () => [...row.querySelectorAll('input:checked')].map((input) => input.value).join(', ');
  } else if (field.type === 'choice') {
    const options = field.options.map((option) => make('option', { value: option, textContent: option, selected: option === field.value }));
    const input = make('select', common, make('option', { value: '', textContent: 'Choose…', selected: !field.value }), ...options);
    row.append(label, input);
    row.read = () => input.value;
  } else if (field.type === 'confirm') {
    const input = make('input', { ...common, type: 'checkbox', checked: field.value === 'yes' });
    row.append(make('label', { className: 'choice' }, input, field.label));
    row.read = () => (input.checked ? 'yes' : 'no');
  } else {
    const type = { number: 'number', link: 'url' }[field.type] ?? 'text';
    const input = field.type === 'reason'
      ? make('textarea', { ...common, rows: 2 })
      : make('input', { ...common, type, value: field.value ?? '', placeholder: field.example ? `for example ${field.example}` : '' });
    if (type === 'number') input.step = 'any';
    row.append(label, input);
    row.read = () => input.value.trim();
  }
  row.append(wrong);
  row.querySelector('input, select, textarea').setAttribute('aria-describedby', wrong.id);
  return row;
}

const askRows = () => [...byId('ask-fields').children];

function showProblems(problems = {}) {
  for (const row of askRows()) {
    const problem = problems[row.dataset.name];
    const wrong = row.querySelector('.wrong');
    wrong.hidden = !problem;
    wrong.textContent = problem ?? '';
    for (const input of row.querySelectorAll('input, select, textarea')) input.setAttribute('aria-invalid', String(Boolean(problem)));
  }
  askRows().find((row) => problems[row.dataset.name])?.querySelector('input, select, textarea').focus();
}

// `act` takes the fields and answers what was told.
function ask({ title, says, html, fields, send: label, style, problems, act }) {
  asked = { act };
  byId('ask-title').textContent = title;
  if (html) byId('ask-says').innerHTML = html; else byId('ask-says').textContent = says ?? '';
  byId('ask-says').hidden = !says && !html;
  byId('ask-answer').replaceChildren();
  byId('ask-fields').replaceChildren(...fields.map(fieldOf));
  byId('ask-send').textContent = label;
  byId('ask-send').className = style;
  if (!dialog.open) dialog.showModal();
  // A dangerous press starts on the way out; anything else where one types.
  (askRows()[0]?.querySelector('input, select, textarea') ?? byId(style === 'danger' ? 'ask-cancel' : 'ask-send')).focus();
  showProblems(problems);
}

byId('ask-cancel').addEventListener('click', () => dialog.close());
dialog.querySelector('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  if (!connected) return;
  const mine = asked;
  const fields = Object.fromEntries(askRows().map((row) => [row.dataset.name, row.read()]));
  try {
    const told = await pending(byId('ask-send'), () => mine.act(fields));
    if (!told || asked !== mine) return;
    if (told.refused && Object.keys(told.problems ?? {}).length) {
      byId('ask-answer').replaceChildren();
      tellAnswer(told, byId('ask-answer'));
      showProblems(told.problems);
      return;
    }
    dialog.close();
    tellAnswer(told);
  } catch (error) {
    byId('ask-answer').replaceChildren();
    tellError(error, byId('ask-answer'));
  }
});

// --- Pressing. ---

const REASON = { name: '$reason', label: 'Reason', type: 'reason', required: true };

function press(button, { room, message, button: id, label, style, confirm, reason, fields }) {
  const path = `/api/rooms/${encodeURIComponent(room)}/messages/${message}/press`;
  if (!confirm && !reason && fields.length === 0) {
    pending(button, () => send(path, { button: id })).then((told) => told && heard(told, room), tellError);
    return;
  }
  ask({
    title: label,
    says: confirm,
    fields: reason ? [...fields, REASON] : fields,
    send: label.split(':')[0],
    style,
    act: ({ $reason, ...filled }) => send(path, { button: id, reason: $reason, fields: filled }),
  });
}

document.addEventListener('click', (event) => {
  const button = event.target.closest?.('button');
  if (!button || button.disabled) return;
  if (button.dataset.ask) press(button, JSON.parse(button.dataset.ask));
  if (button.dataset.advance) {
    const rollout = document.body.dataset.rollout;
    const body = { ...JSON.parse(button.dataset.advance), ...(rollout ? { rollout } : {}) };
    pending(button, () => send('/api/clock/advance', body)).then((told) => told && tellAnswer(told), tellError);
  }
});

// --- Writing. ---

const phone = matchMedia('(max-width: 719px)');
const composer = byId('composer');
const box = byId('box');

let last = '';

async function say(text) {
  const { room } = composer.dataset;
  const told = await send(`/api/rooms/${encodeURIComponent(room)}/messages`, { text });
  heard(told, room);
  return told;
}

// A word to the others is answered by standing there: what was answered before goes, and on a phone one is taken to it.
function showNewest() {
  byId('answers').replaceChildren();
  const hidden = byId('conversation').getBoundingClientRect().bottom - composer.parentElement.getBoundingClientRect().top;
  if (phone.matches) scrollBy(0, hidden);
}

// What was told; and what is asked first, or may be said after.
function heard(told, room) {
  if (!told.form || !told.refused) tellAnswer(told);
  if (!told.form) return;
  const { command, fields } = told.form;
  const path = `/api/rooms/${encodeURIComponent(room)}/messages`;
  ask({
    title: command,
    html: told.answer_html,
    fields,
    send: 'Send',
    style: 'primary',
    problems: told.problems,
    act: (filled) => send(path, { text: command, fields: filled }),
  });
}

composer?.addEventListener('submit', async (event) => {
  event.preventDefault();
  const text = box.value.trim();
  if (!text || !connected) return;
  try {
    await pending(composer.querySelector('button'), async () => {
      const told = await say(text);
      last = text;
      if (box.value.trim() === text) box.value = '';
      if (told.answer == null) showNewest();
    });
  } catch (error) {
    tellError(error);
  }
  if (!dialog.open) box.focus();
});
box?.addEventListener('keydown', (event) => {
  // What was mistyped is mended quicker than typed again.
  if (event.key === 'ArrowUp' && !box.value) { event.preventDefault(); box.value = last; }
  // Enter may also choose a word in an input method.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});

// --- Following what changes. ---

const AT_BOTTOM_PX = 48;
const RECONNECT_MS = 2000;
let connected = false;
let refreshing = false;
let again = false;

// Takes over what differs, node by node, so that focus, selection, scroll positions and what is unfolded stay as they are.
function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || from.id !== to.id) { from.replaceWith(to); return; }
  if (from.nodeType !== Node.ELEMENT_NODE) { if (from.data !== to.data) from.data = to.data; return; }
  if (from.isEqualNode(to) || from.dataset.pending) return;
  const kept = (name) => (from.nodeName === 'DETAILS' && name === 'open') || (from.nodeName === 'FIELDSET' && name === 'disabled');
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name) && !kept(name)) from.removeAttribute(name);
  for (const { name, value } of [...to.attributes]) if (from.getAttribute(name) !== value && !kept(name)) from.setAttribute(name, value);
  const wanted = [...to.childNodes];
  const byKey = new Map([...from.children].filter((child) => child.id).map((child) => [child.id, child]));
  const staying = new Set(wanted.map((child) => child.id).filter((id) => id && byKey.has(id)));
  let place = from.firstChild;
  for (const want of wanted) {
    // What is not wanted any more goes, so that what follows keeps its node.
    while (place?.id && !staying.has(place.id)) { const gone = place; place = place.nextSibling; gone.remove(); }
    const known = want.id && byKey.get(want.id);
    if (known) {
      if (known === place) place = place.nextSibling; else from.insertBefore(known, place);
      morph(known, want);
    } else if (place && !place.id && !want.id) {
      const next = place.nextSibling;
      morph(place, want);
      place = next;
    } else {
      from.insertBefore(want, place);
    }
  }
  while (place) { const gone = place; place = place.nextSibling; gone.remove(); }
}

// Whoever reads the newest keeps reading the newest, also when an answer takes some of the room; whoever scrolled up stays there.
function stick(node) {
  let stuck = true;
  const toBottom = () => { if (stuck) node.scrollTop = node.scrollHeight; };
  node.addEventListener('scroll', () => { stuck = node.scrollHeight - node.scrollTop - node.clientHeight < AT_BOTTOM_PX; });
  node.addEventListener('fresh', toBottom);
  new ResizeObserver(toBottom).observe(node);
}

function enable() {
  for (const controls of document.querySelectorAll('fieldset.controls')) controls.disabled = !connected;
}

async function refresh() {
  if (refreshing) { again = true; return; }
  refreshing = true;
  try {
    do {
      again = false;
      const response = await fetch(location.href, { headers: { accept: 'text/html' } });
      // Logged out, here or elsewhere: the server shows the way in.
      if (response.redirected && new URL(response.url).pathname === '/log-in') { location.reload(); return; }
      const page = new DOMParser().parseFromString(await response.text(), 'text/html');
      if (!page.body.dataset.version) continue;
      // A newer server: its pages need its script, once nobody is in the middle of something.
      if (page.body.dataset.version !== document.body.dataset.version && !box?.value && !dialog.open) { location.reload(); return; }
      take(page);
    } while (again);
  } catch {
    // The stream notices that the server is gone, and refreshes when it is back.
  } finally {
    refreshing = false;
  }
}

function take(page) {
  const focused = document.activeElement;
  document.title = page.title;
  document.body.className = page.body.className;
  document.body.dataset.rollout = page.body.dataset.rollout;
  for (const region of document.querySelectorAll('[data-live]')) {
    const fresh = page.getElementById(region.id);
    if (!fresh) continue;
    morph(region, document.importNode(fresh, true));
    region.dispatchEvent(new Event('fresh'));
  }
  // What is being written there stays as it is.
  if (box) box.placeholder = byId('pinned').dataset.hint;
  enable();
  // The pressed button is gone: go on from the card, not from the top of the page.
  if (focused && !focused.isConnected) document.querySelector('[data-refocus]')?.focus({ preventScroll: true });
}

function connection(up) {
  connected = up;
  const shown = byId('connection');
  shown.classList.toggle('shown', !up);
  shown.textContent = up ? '' : 'Reconnecting… what you see may be old';
  document.body.dataset.connection = up ? 'live' : 'lost';
  enable();
}

let stream;

function follow() {
  const mine = new EventSource('/api/stream');
  stream = mine;
  // The first event comes with every (re)connection: whatever was missed is looked up then. Buttons wait for it.
  mine.addEventListener('change', async () => {
    await refresh();
    if (!connected && mine.readyState === EventSource.OPEN) connection(true);
  });
  mine.addEventListener('error', () => {
    connection(false);
    // A browser gives up when it is answered with an error; we don't.
    if (mine.readyState === EventSource.CLOSED) setTimeout(() => { if (stream === mine) { refresh(); follow(); } }, RECONNECT_MS);
  });
}

// A browser opens six connections to one address, and each stream holds one: windows that nobody looks at give theirs back.
document.addEventListener('visibilitychange', () => {
  // Whoever comes back sees no button before it is known that it still stands.
  if (document.hidden) { stream.close(); connection(false); }
  else if (stream.readyState === EventSource.CLOSED) follow();
});

// What shows how time passes is looked at again now and then, also when nothing happens.
const TICK_MS = 30_000;
setInterval(() => { if (connected && !document.hidden && document.querySelector('[data-ticks]')) refresh(); }, TICK_MS);

// On a small screen everything is one column, and a long log would stand between the card and what people say.
if (phone.matches) document.querySelectorAll('details.log').forEach((log) => { log.open = false; });
document.querySelectorAll('[data-stick]').forEach(stick);
follow();
