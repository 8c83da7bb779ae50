// The wall counts by itself between two looks at the server, by the server's clock alone: the screen's own clock may be wrong. When
// nothing is heard for a while it says so, as large as everything else.
'use strict';

const POLL_MS = 15_000; // also when nothing changes: a connection may be dead without a word
const ANSWER_MS = 10_000;
const STALE_MS = 40_000; // two looks in vain, and a little
const TICK_MS = 250;
const RECONNECT_MS = 2000;

let heard = performance.now(); // when the server answered last
let rendered = performance.now(); // when what is shown was rendered, by the same clock
let trouble = '';
let looking = false;
let again = false;
let stream;

const wall = () => document.getElementById('wall');
const two = (number) => String(number).padStart(2, '0');

// What the clock of a part of the page says: what it said when it was rendered, and what has passed since by a clock that nobody sets.
function nowOf(node) {
  const part = node.closest('[data-now]') ?? wall();
  const passed = 'ended' in part.dataset ? 0 : performance.now() - rendered;
  return Number(part.dataset.now) + passed;
}

function clock(seconds) {
  const days = Math.floor(seconds / 86400);
  const time = `${two(Math.floor(seconds % 86400 / 3600))}:${two(Math.floor(seconds % 3600 / 60))}:${two(seconds % 60)}`;
  return days ? `${days}d ${time}` : time;
}

function short(seconds) {
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h ${two(Math.floor(seconds % 3600 / 60))}m`;
  return `${Math.floor(seconds / 86400)}d ${Math.floor(seconds % 86400 / 3600)}h`;
}

const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const each = (name, act) => document.querySelectorAll(`[data-${name}]`).forEach((node) => act(node, nowOf(node)));

function tick() {
  each('count', (node, now) => {
    const left = Number(node.dataset.count) - now;
    // Down to nought, then up: the second that has begun counts.
    const seconds = left > 0 ? Math.ceil(left / 1000) : Math.floor(-left / 1000);
    put(node, `T${left > 0 ? '−' : '+'}${clock(seconds)}`);
    node.classList.toggle('after', left <= 0);
    node.classList.toggle('long', seconds >= 86400);
  });
  each('left', (node, now) => {
    const [left, begins] = [Number(node.dataset.left) - now, Number(node.dataset.from) - now];
    node.classList.toggle('over', left <= 0);
    if (begins > 0) put(node, `the window is ${short(Math.round((left - begins) / 1000))} long`);
    else if (left > 0) put(node, `${clock(Math.ceil(left / 1000))} left of the window`);
    else put(node, `the window is over since ${clock(Math.floor(-left / 1000))}`);
  });
  each('until', (node, now) => put(node, short(Math.max(0, Math.ceil((Number(node.dataset.until) - now) / 1000)))));
  each('since', (node, now) => {
    const seconds = Math.max(0, Math.floor((now - Number(node.dataset.since)) / 1000));
    put(node, short(seconds));
    node.classList.toggle('over', Number(node.dataset.expected || Infinity) < seconds);
  });
  each('fill', (node, now) => {
    node.value = Math.min(node.max, (now - Number(node.dataset.fill)) / 1000);
    node.classList.toggle('over', (now - Number(node.dataset.fill)) / 1000 > node.max);
  });
  each('clock', (node, now) => {
    const zone = node.closest('[data-zone]')?.dataset.zone ?? 'UTC';
    put(node, new Intl.DateTimeFormat('en-GB', { timeZone: zone, hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(now));
  });
  const silent = performance.now() - heard;
  const lost = document.getElementById('lost');
  const isLost = trouble !== '' || silent > STALE_MS;
  lost.hidden = !isLost;
  document.body.classList.toggle('is-lost', isLost);
  document.body.dataset.connection = isLost ? 'lost' : 'live';
  if (isLost) put(lost, `${trouble || 'No answer'}. What you see is ${short(Math.floor(silent / 1000))} old.`);
}

async function look() {
  if (looking) { again = true; return; }
  looking = true;
  do {
    again = false;
    try {
      const asked = performance.now();
      const response = await fetch(location.href, { headers: { accept: 'text/html' }, signal: AbortSignal.timeout(ANSWER_MS) });
      const page = new DOMParser().parseFromString(await response.text(), 'text/html');
      const fresh = page.getElementById('wall');
      // That there is no such rollout is an answer, and hangs; that the server can't say is none.
      if (response.status >= 500) throw new Error(`The server answers ${response.status}`);
      if (!fresh) throw new Error('The server shows something else: perhaps somebody has to log in');
      if (page.body.dataset.version !== document.body.dataset.version) { location.reload(); return; }
      wall().replaceWith(document.importNode(fresh, true));
      document.title = page.title;
      // Half of the way there and back is the answer's age.
      heard = performance.now();
      rendered = heard - (heard - asked) / 2;
      trouble = '';
    } catch (error) {
      trouble = error.message.startsWith('The server') ? error.message : 'Connection lost';
    }
  } while (again);
  looking = false;
  tick();
}

function follow() {
  const mine = new EventSource('/api/stream');
  stream = mine;
  mine.addEventListener('change', look);
  mine.addEventListener('error', () => {
    trouble = 'Connection lost';
    tick();
    // A browser gives up when it is answered with an error; a wall doesn't.
    if (mine.readyState === EventSource.CLOSED) setTimeout(() => { if (stream === mine) follow(); }, RECONNECT_MS);
  });
}

tick();
setInterval(tick, TICK_MS);
setInterval(look, POLL_MS);
follow();
