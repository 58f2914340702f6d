import {
  attributeMap,
  encodeMessage,
  NLM,
  parseAttributes,
  parseError,
  parseMessages,
} from '../../../src/kernel/netlink.ts';

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');

test('attributes are padded to 4 bytes, their lengths are not, and a nest counts its padding', () => {
  const message = encodeMessage({ type: 0x1234, flags: NLM.CREATE }, (writer) => {
    writer.attributeText(3, 'ab');
    writer.nest(5, () => writer.attributeU8(1, 7));
    writer.attributeU32be(2, 0x01020304);
  });
  expect(message).toEqual(
    hex(`2c000000 3412 0104 00000000 00000000
         0700 0300 616200 00
         0c00 0580 0500 0100 07 000000
         0800 0200 01020304`),
  );
});

test('a message larger than the first buffer stays whole', () => {
  const message = encodeMessage({ type: 1 }, (writer) => {
    for (let n = 0; n < 1_000; n++) writer.attributeU32(n, n);
  });
  expect(parseAttributes(message, 16).map(({ type, value }) => [type, value.readUInt32LE(0)])).toEqual(
    Array.from({ length: 1_000 }, (_, n) => [n, n]),
  );
});

test('a datagram of several messages is taken apart; one that is cut ends it', () => {
  const one = encodeMessage({ type: 16 }, (writer) => writer.u32(1));
  const odd = encodeMessage({ type: 17 }, (writer) => writer.bytes(Uint8Array.of(1)));
  const datagram = Buffer.concat([odd, Buffer.alloc(3), one, one.subarray(0, 18)]);
  expect(parseMessages(datagram).map(({ type, payload }) => [type, payload.length])).toEqual([
    [17, 1],
    [16, 4],
  ]);
});

test.each(['ffff0100', '0300 0100 00', '0000', '0400'])('broken attributes %s are no attributes', (text) => {
  expect(parseAttributes(hex(text))).toEqual([]);
});

test("an error gives the errno and the extended ACK's sentence, with the request echoed or not", () => {
  // What Linux 6.18 answered to a route with a gateway that is nowhere (NETLINK_CAP_ACK on).
  const capped = hex(`44000000 0200 0003 01000000 00000000
                      9bffffff 2c000000 1800 0105 01000000 00000000
                      2000 0100 4e657874686f702068617320696e76616c6964206761746577617900`);
  expect(parseMessages(capped).map(parseError)).toEqual([{ errno: 101, text: 'Nexthop has invalid gateway' }]);
  const whole = hex(`34000000 0200 0002 01000000 00000000
                     efffffff 14000000 1000 0500 01000000 00000000 aabbccdd
                     0a00 0100 74616b656e00 0000`);
  expect(parseMessages(whole).map(parseError)).toEqual([{ errno: 17, text: 'taken' }]);
  const acknowledged = hex('24000000 0200 0001 01000000 00000000 00000000 14000000 1000 0500 01000000 00000000');
  expect(parseMessages(acknowledged).map(parseError)).toEqual([{ errno: 0, text: '' }]);
});

test('nested and byte-order flags are no part of a type', () => {
  expect([...attributeMap(hex('0800 0280 01020304 0800 0340 05060708')).keys()]).toEqual([2, 3]);
});
