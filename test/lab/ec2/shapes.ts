/**
 * AWS's own model of EC2's API, as botocore ships it, and what of an answer or a request does not fit it.
 * Format: https://smithy.io has its successor; botocore's is `operations` naming `shapes` of members.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { Field, Fields } from '../../../src/lab/ec2/fields.ts';
import type { Element } from '../../unit/ec2/xml-reader.ts';

interface Member {
  readonly shape: string;
  readonly locationName?: string;
  readonly queryName?: string;
}

interface Shape {
  readonly type: string;
  readonly members?: Readonly<Record<string, Member>>;
  readonly member?: Member;
  readonly enum?: readonly string[];
}

export interface Ec2Model {
  readonly operations: Readonly<
    Record<string, { readonly input?: { readonly shape: string }; readonly output?: { readonly shape: string } }>
  >;
  readonly shapes: Readonly<Record<string, Shape>>;
}

export const readModel = (botocore: string): Ec2Model =>
  JSON.parse(gunzipSync(readFileSync(`${botocore}/data/ec2/2016-11-15/service-2.json.gz`)).toString());

/** What AWS documents for every action and botocore leaves out, since no client asks for it. */
const UNMODELLED = new Set(['requestId', 'return']);

/** What EC2 answers and its model does not list: CreateNetworkInterface's documented example is `pending`. */
const UNLISTED: ReadonlySet<string> = new Set(['NetworkInterfaceStatus pending']);

const SCALARS: Readonly<Record<string, RegExp>> = {
  boolean: /^(true|false)$/,
  integer: /^-?\d+$/,
  long: /^-?\d+$/,
  timestamp: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/,
  string: /^/,
};

/** Where an answer does not fit its operation's output, as `path: why`. */
export function misfits(model: Ec2Model, operation: string, root: Element): string[] {
  const name = model.operations[operation]?.output?.shape;
  const shape: Shape = (name === undefined ? undefined : model.shapes[name]) ?? { type: 'structure', members: {} };
  const children = root.children.filter((child) => !UNMODELLED.has(child.name) || memberFor(shape, child.name));
  return inStructure(model, shape, { ...root, children }, operation);
}

const memberFor = (shape: Shape, element: string): Member | undefined =>
  Object.entries(shape.members ?? {}).find(([name, member]) => (member.locationName ?? name) === element)?.[1];

function inStructure(model: Ec2Model, shape: Shape, element: Element, path: string): string[] {
  const names = element.children.map((child) => child.name);
  const twice = names.filter((name, at) => names.indexOf(name) !== at).map((name) => `${path}.${name}: given twice`);
  const inner = element.children.flatMap((child) => {
    const member = memberFor(shape, child.name);
    const at = `${path}.${child.name}`;
    return member === undefined ? [`${at}: unknown to EC2's model`] : inMember(model, member, child, at);
  });
  return [...twice, ...inner];
}

function inMember(model: Ec2Model, member: Member, element: Element, path: string): string[] {
  const shape = model.shapes[member.shape];
  if (shape === undefined) throw new Error(`no shape ${member.shape}`);
  if (shape.type === 'structure') return inStructure(model, shape, element, path);
  if (shape.type === 'list') {
    const of = shape.member;
    if (of === undefined) throw new Error(`${member.shape} lists nothing`);
    return element.children.flatMap((child) =>
      child.name === (of.locationName ?? 'member')
        ? inMember(model, of, child, `${path}[]`)
        : [`${path}.${child.name}: not a list's item`],
    );
  }
  const form = SCALARS[shape.type];
  if (form === undefined) throw new Error(`${path}: no check for ${shape.type}`);
  if (element.children.length > 0) return [`${path}: elements in a ${shape.type}`];
  if (!form.test(element.text)) return [`${path}: "${element.text}" is no ${shape.type}`];
  const isListed = shape.enum === undefined || shape.enum.includes(element.text);
  const known = isListed || UNLISTED.has(`${member.shape} ${element.text}`);
  return known ? [] : [`${path}: "${element.text}" is none of ${shape.enum?.slice(0, 8).join(', ')}`];
}

/** Every parameter an operation takes, one a line: `Filter: list`, `Filter.Name: string`. */
export function modelledParameters(model: Ec2Model, operation: string): string[] {
  const name = model.operations[operation]?.input?.shape ?? '';
  return parametersIn(model, model.shapes[name] ?? { type: 'structure' }, '');
}

/** EC2's Query protocol (botocore's EC2Serializer): queryName, else the capitalised locationName, else the name. */
function parametersIn(model: Ec2Model, shape: Shape, prefix: string): string[] {
  return Object.entries(shape.members ?? {}).flatMap(([name, member]) => {
    const { queryName, locationName = name } = member;
    const wire = `${prefix}${queryName ?? locationName.charAt(0).toUpperCase() + locationName.slice(1)}`;
    const inner = model.shapes[member.shape];
    const of = inner?.type === 'list' ? model.shapes[inner.member?.shape ?? ''] : inner;
    return [`${wire}: ${inner?.type}`, ...(of?.type === 'structure' ? parametersIn(model, of, `${wire}.`) : [])];
  });
}

/** The same of the lab's own tables. */
export function declaredParameters(fields: Fields, prefix = ''): string[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    const inner: Field<unknown> = field.of ?? field;
    const below = inner.fields === undefined ? [] : declaredParameters(inner.fields, `${prefix}${name}.`);
    return [`${prefix}${name}: ${field.kind}`, ...below];
  });
}
