/**
 * The question before a change: what will happen, and why, for the audit log. It stays open until the change is done or has
 * failed, and says how it failed.
 *
 * Must not know what is changed.
 */

import { element } from './elements.js';

const by = (id) => document.getElementById(id);

/**
 * A button that asks before it acts.
 * @param {{ word: string, of: string, changed: () => void }} button word and of together: its name aloud, unique on the page
 */
export function actionButton({ word, of, changed }, question, act) {
  const ask = async () => {
    if (await confirmed(question, act)) changed();
  };
  const name = `${word} ${of}`;
  return element('button', { type: 'button', 'data-key': name, 'aria-label': name, on: ask }, word);
}

/**
 * @param {{ title: string, text: string, verb: string, isGrave?: boolean, numbers?: { name: string, value: number }[] }} question
 * @param {(reason: string, numbers: Record<string, number>) => Promise<void>} act
 * @returns resolves when the dialog is closed: true = done
 */
function confirmed({ title, text, verb, isGrave = false, numbers = [] }, act) {
  const dialog = by('confirm');
  const [yes, reason, wrong] = [by('confirm-yes'), by('reason'), by('confirm-wrong')];
  by('confirm-title').textContent = title;
  by('confirm-text').textContent = text;
  yes.textContent = verb;
  yes.className = isGrave ? 'grave' : 'main';
  yes.disabled = false;
  const inputs = numbers.map(numberInput);
  by('confirm-numbers').replaceChildren(...inputs.map(({ label }) => label));
  reason.value = '';
  wrong.textContent = '';
  let isDone = false;
  const submit = async (event) => {
    event.preventDefault();
    yes.disabled = true;
    wrong.textContent = '';
    try {
      await act(reason.value.trim(), Object.fromEntries(inputs.map(({ name, input }) => [name, input.valueAsNumber])));
      isDone = true;
      dialog.close();
    } catch (error) {
      wrong.textContent = error.message;
      yes.disabled = false;
    }
  };
  const form = dialog.querySelector('form');
  const cancel = () => dialog.close();
  form.addEventListener('submit', submit);
  by('confirm-no').addEventListener('click', cancel);
  return new Promise((resolve) => {
    dialog.addEventListener(
      'close',
      () => {
        form.removeEventListener('submit', submit);
        by('confirm-no').removeEventListener('click', cancel);
        resolve(isDone);
      },
      { once: true },
    );
    dialog.showModal();
    (inputs[0]?.input ?? reason).focus();
  });
}

function numberInput({ name, value }) {
  const input = element('input', { type: 'number', min: 0, step: 'any', required: true, value });
  return { name, input, label: element('label', {}, name, input) };
}
