/**
 * EC2's XML from plain values: an object is elements, an array a set of `<item>`s, undefined nothing at all.
 */
export type Content =
  | string
  | number
  | boolean
  | Date
  | undefined
  | readonly Content[]
  | { readonly [name: string]: Content };

export type Elements = { readonly [name: string]: Content };

const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>';
const NAMESPACE = 'http://ec2.amazonaws.com/doc/2016-11-15/';

export const successXml = (action: string, requestId: string, elements: Elements): string =>
  `${DECLARATION}\n<${action}Response xmlns="${NAMESPACE}">${write({ requestId, ...elements })}</${action}Response>`;

/** Errors are framed differently: no namespace, and the id's element in other letters (recorded replies). */
export const errorXml = (code: string, message: string, requestId: string): string =>
  `${DECLARATION}\n<Response><Errors><Error>${write({ Code: code, Message: message })}</Error></Errors>${write({ RequestID: requestId })}</Response>`;

function write(content: Content): string {
  if (content === undefined) return '';
  if (typeof content !== 'object') return escaped(String(content));
  if (content instanceof Date) return content.toISOString();
  if (Array.isArray(content)) return content.map((item) => element('item', item)).join('');
  return Object.entries(content)
    .map(([name, value]) => element(name, value))
    .join('');
}

function element(name: string, content: Content): string {
  if (content === undefined) return '';
  const inner = write(content);
  return inner === '' ? `<${name}/>` : `<${name}>${inner}</${name}>`;
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** XML 1.0 has no way to say the other control characters; EC2 takes none in tags or descriptions either. */
const escaped = (plain: string): string =>
  plain
    .toWellFormed()
    .replace(/[&<>"]/g, (character) => ENTITIES[character] ?? character)
    .replace(/[\p{Cc}\ufffe\uffff]/gu, (character) => CONTROLS[character] ?? '?');

/** A bare carriage return would be read as a line feed. */
const CONTROLS: Readonly<Record<string, string>> = { '\t': '\t', '\n': '\n', '\r': '&#13;' };
