import { errorXml, successXml } from '../../../src/lab/ec2/xml.ts';
import { readXml, textAt } from './xml-reader.ts';

test('objects are elements, arrays are items, undefined is nothing', () => {
  const elements = {
    set: [
      { id: 'a', on: true },
      { id: 'b', count: 0 },
    ],
    names: ['x', 'y'],
    none: [],
    absent: undefined,
    at: new Date(0),
  };
  expect(successXml('Foo', 'r-1', elements)).toBe(
    '<?xml version="1.0" encoding="UTF-8"?>\n<FooResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">' +
      '<requestId>r-1</requestId><set><item><id>a</id><on>true</on></item><item><id>b</id><count>0</count></item></set>' +
      '<names><item>x</item><item>y</item></names><none/><at>1970-01-01T00:00:00.000Z</at></FooResponse>',
  );
});

test('errors are framed as EC2 frames them', () => {
  expect(errorXml('Code', 'a < b & "c"', 'r-1')).toBe(
    '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>Code</Code>' +
      '<Message>a &lt; b &amp; &quot;c&quot;</Message></Error></Errors><RequestID>r-1</RequestID></Response>',
  );
});

test('whatever text a client stores, the answer stays well-formed', () => {
  const nasty = `]]><item>&amp;"'\u0000\u0007\t\r\n€😀\ud800`;
  const root = readXml(successXml('Foo', 'r', { description: nasty }));
  expect(textAt(root, 'description')).toBe(`]]><item>&amp;"'??\t\r\n€😀\ufffd`);
});
