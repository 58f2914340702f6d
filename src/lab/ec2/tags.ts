/**
 * Tags in requests and answers, with EC2's restrictions.
 * Source: EC2 User Guide, "Tag restrictions": 50 tags a resource, keys of 128 and values of 256 characters, `aws:` is AWS's.
 */
import type { Tags } from '../../core/cloud.ts';
import { Ec2Error, invalidValue } from './ec2-error.ts';
import { list, need, structure, text } from './fields.ts';
import type { Content } from './xml.ts';

const TAG_COUNT_MAX = 50;
const KEY_LENGTH_MAX = 128;
const VALUE_LENGTH_MAX = 256;

export const tagParameter = list(
  structure({ Key: need(text({ lengthMax: KEY_LENGTH_MAX })), Value: text({ lengthMax: VALUE_LENGTH_MAX }) }),
);

export const tagSpecificationParameter = list(structure({ ResourceType: need(text()), Tag: tagParameter }));

interface Tag {
  readonly Key: string;
  readonly Value?: string | undefined;
}

/** A tag without a value has the empty one. */
export function tagsOf(tags: readonly Tag[]): Tags {
  const reserved = tags.find(({ Key }) => Key.toLowerCase().startsWith('aws:'));
  if (reserved !== undefined)
    throw invalidValue(`Tag keys starting with 'aws:' are reserved for internal use: ${reserved.Key}`);
  const keys = tags.map(({ Key }) => Key);
  const twice = keys.find((key, at) => keys.indexOf(key) !== at);
  if (twice !== undefined) throw invalidValue(`Duplicate tag key '${twice}' specified.`);
  mustBeFewEnough(tags.length);
  return Object.fromEntries(tags.map(({ Key, Value }) => [Key, Value ?? '']));
}

export function mustBeFewEnough(tagCount: number): void {
  if (tagCount > TAG_COUNT_MAX)
    throw new Ec2Error('TagLimitExceeded', `More than ${TAG_COUNT_MAX} tags specified for a resource`);
}

export const tagSet = (tags: Tags): Content => Object.entries(tags).map(([key, value]) => ({ key, value }));
