/** Write names and values of an expression, in quotes if necessary. */

const BARE = /^[\p{L}\p{M}\p{N}_.@+/%-]+$/u;
const RESERVED = /^(?:(?:and|or|not|in|within|everyone|nobody)|xg_(?:user_define|auto_\w+)\..*|@.*)$/isu;
const RELATIVE = /^(?:today|yesterday|tomorrow|now|(?:today|now)[+-][0-9]+[a-z]*)$/i;
const FUNCTIONS = /^(?:did|sum|min|max|avg|first|last|has|tag|tag_and|tag_not|reference|sample|split|anniversary)$/i;

export function quoteName(name: string): string {
  return BARE.test(name) && !RESERVED.test(name) ? name : quote(name);
}

/** Return the value of a comparison, in quotes also if it would be a day such as `today`. */
export function quoteValue(value: string): string {
  return RELATIVE.test(value) ? quote(value) : quoteName(value);
}

/** Return the name of an event in brackets. */
export function quoteEvent(name: string): string {
  return FUNCTIONS.test(name) ? quote(name) : quoteName(name);
}

/** Return what a name or a text in quotes names. */
export function unquote(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(["\\])/g, "$1") : text;
}

function quote(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
