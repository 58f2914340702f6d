/** Reads the XML that EC2 writes: elements, texts and entities; no comments, no CDATA. */
export interface Element {
  readonly name: string;
  readonly text: string;
  readonly children: readonly Element[];
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', '#13': '\r' };

/** The root element; throws when the text is not one well-formed element after its declaration. */
export function readXml(xml: string): Element {
  const open: { name: string; text: string; children: Element[] }[] = [{ name: '', text: '', children: [] }];
  for (const [token, end, name = '', empty] of xml.matchAll(
    /<(\/?)([A-Za-z][\w.-]*)[^<>]*?(\/?)>|<\?[^>]*\?>|[^<]+|</g,
  )) {
    const top = open.at(-1);
    if (top === undefined || token === '<') throw new Error(`not well-formed: ${xml}`);
    if (name === '') {
      if (!token.startsWith('<?'))
        top.text += token.replace(/&([^;]*);/g, (_, entity) => ENTITIES[entity] ?? `&${entity};`);
    } else if (end === '/') {
      open.pop();
      if (top.name !== name) throw new Error(`</${name}> ends <${top.name}>`);
    } else {
      const element = { name, text: '', children: [] };
      top.children.push(element);
      if (empty !== '/') open.push(element);
    }
  }
  const [document, ...unfinished] = open;
  const [root, ...more] = document?.children ?? [];
  if (root === undefined || more.length > 0 || unfinished.length > 0) throw new Error(`not one element: ${xml}`);
  return root;
}

/** The elements at a path below, such as `networkInterfaceSet.item.status`. */
export function elementsAt(root: Element, path: string): readonly Element[] {
  let found: readonly Element[] = [root];
  for (const name of path.split('.'))
    found = found.flatMap((element) => element.children.filter((child) => child.name === name));
  return found;
}

export const textsAt = (root: Element, path: string): string[] => elementsAt(root, path).map(({ text }) => text);

export function textAt(root: Element, path: string): string {
  const [text, ...more] = textsAt(root, path);
  if (text === undefined || more.length > 0) throw new Error(`${more.length + 1} texts at ${path}`);
  return text;
}
