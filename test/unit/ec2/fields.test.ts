import { Ec2Error } from '../../../src/lab/ec2/ec2-error.ts';
import {
  address,
  block,
  type Fields,
  flag,
  id,
  integer,
  list,
  need,
  oneOf,
  readFields,
  structure,
  text,
} from '../../../src/lab/ec2/fields.ts';
import { parseQuery } from '../../../src/lab/ec2/query.ts';

const read = (fields: Fields, encoded: string): unknown => {
  try {
    return readFields(fields, parseQuery(encoded));
  } catch (error) {
    if (!(error instanceof Ec2Error)) throw error;
    return `${error.code}: ${error.message}`;
  }
};

const FIELDS: Fields = {
  Count: integer({ min: 5, max: 10 }),
  Dry: flag(),
  Kind: oneOf('a', 'b'),
  Eni: id('eni', 'InvalidNetworkInterfaceID'),
  Ip: address(4),
  Ip6: address(6),
  Prefix: block(4, 28),
  Name: text({ lengthMax: 3 }),
  Filter: list(structure({ Name: need(text()), Value: list(text()) })),
};

test('absent parameters are undefined, absent lists empty', () => {
  expect(read(FIELDS, '')).toEqual({ Filter: [] });
});

test('each type reads its text', () => {
  const encoded =
    'Count=7&Dry=True&Kind=b&Eni=eni-0123456789abcdef0&Ip=10.0.1.5&Ip6=2001:DB8::0:1&Prefix=10.0.1.16/28&Name=';
  expect(read(FIELDS, encoded)).toEqual({
    Count: 7,
    Dry: true,
    Kind: 'b',
    Eni: 'eni-0123456789abcdef0',
    Ip: '10.0.1.5',
    Ip6: '2001:db8::1',
    Prefix: '10.0.1.16/28',
    Name: '',
    Filter: [],
  });
});

test('a list is ordered by number, gaps or not, and an empty one may be a bare name', () => {
  expect(read({ A: list(text()) }, 'A.10=c&A.2=b&A.1=a')).toEqual({ A: ['a', 'b', 'c'] });
  expect(read({ A: list(text()) }, 'A=')).toEqual({ A: [] });
});

test('structures in lists keep together', () => {
  expect(read(FIELDS, 'Filter.2.Name=y&Filter.1.Name=x&Filter.1.Value.1=1&Filter.1.Value.2=2')).toEqual({
    Filter: [
      { Name: 'x', Value: ['1', '2'] },
      { Name: 'y', Value: [] },
    ],
  });
});

test.each([
  ['Count=4', /^InvalidParameterValue: Value \(4\) for parameter Count is invalid. Expecting a value of at least 5/],
  ['Count=11', /^InvalidParameterValue: .*at most 10/],
  ['Count=7.5', /^InvalidParameterValue: .*not an integer/],
  ['Count=', /^InvalidParameterValue: /],
  ['Count=99999999999999', /^InvalidParameterValue: /],
  ['Dry=yes', /^InvalidParameterValue: /],
  ['Kind=c', /^InvalidParameterValue: .*Expected: a, b/],
  ['Eni=eni-xyz', /^InvalidNetworkInterfaceID.Malformed: Invalid id: "eni-xyz" \(expecting "eni-..."\)/],
  ['Eni=', /^InvalidNetworkInterfaceID.Malformed/],
  ['Ip=10.0.1', /^InvalidParameterValue: /],
  ['Ip=2001:db8::1', /^InvalidParameterValue: .*IPv4/],
  ['Prefix=10.0.1.17/28', /^InvalidParameterValue: .*CIDR/],
  ['Prefix=10.0.1.0/24', /^InvalidParameterValue: /],
  ['Prefix=10.0.1.16', /^InvalidParameterValue: /],
  ['Name=long', /^InvalidParameterValue: /],
  ['Foo=1', /^UnknownParameter: The parameter Foo is not recognized/],
  ['toString=1', /^UnknownParameter: The parameter toString/],
  ['Eni.1=eni-0123456789abcdef0', /^UnknownParameter: The parameter Eni.1/],
  ['Filter.1.Nom=x', /^UnknownParameter: The parameter Filter.1.Nom/],
  ['Filter.a.Name=x', /^UnknownParameter: The parameter Filter.a/],
  ['Filter=x', /^UnknownParameter: The parameter Filter/],
  ['Filter.1=x', /^UnknownParameter: The parameter Filter.1/],
  ['Filter.1.Value.1=x', /^MissingParameter: The request must contain the parameter Filter.1.Name/],
])('%s is refused', (encoded, expected) => {
  expect(read(FIELDS, encoded)).toMatch(expected);
});

test('a needed parameter must be there, a needed list must hold something', () => {
  expect(read({ A: need(text()) }, '')).toMatch(/^MissingParameter: The request must contain the parameter A$/);
  expect(read({ A: need(list(text())) }, 'A=')).toMatch(/^MissingParameter: /);
});
