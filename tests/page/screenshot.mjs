// The picture for the README: the go/no-go with its evidence and two of three votes, as the third voter sees it.
import { answer, api, ROOM, playUntil, scenario, shows, startRollout } from './browser.mjs';

await scenario(async ({ open }) => {
  const maria = await open('maria');
  await startRollout(maria);
  const step = (steps, id) => steps.find((one) => one.id === id);
  const voted = (steps, count) => Object.keys(step(steps, 'cutover').votes).length >= count;
  // People take their time.
  await playUntil((steps) => step(steps, 'blue_tests').status === 'open');
  await api('/api/clock/advance', { by: '14m' });
  await playUntil((steps) => voted(steps, 1));
  await api('/api/clock/advance', { by: '2m' });
  await playUntil((steps) => voted(steps, 2));
  await answer(maria, 'Started');
  await maria.close();
  await api(`/api/rooms/${ROOM}/messages`, { person: 'raj', text: 'Blue looks calm: error rate flat, latency as before.' });
  const li = await open('li');
  await shows(li, /GO by Raj/);
  await li.getByText('Blue looks calm').waitFor();
  await li.screenshot({ path: 'docs/screenshot.png' });
});
