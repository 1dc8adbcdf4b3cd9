// SPDX-License-Identifier: MIT
// A server's day in short: buffers of many sizes, JSON, compression, hashes, streams, regular expressions, maps.
'use strict';
const crypto = require('crypto');
const zlib = require('zlib');

let state = 1;
function random(bound) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % bound;
}

function documents(count) {
    const list = [];
    for (let i = 0; i < count; i++) {
        list.push({ id: i, title: `title ${random(1000)}`, words: Array.from({ length: random(60) }, () => `w${random(9999)}`) });
    }
    return list;
}

function request(cache) {
    const body = Buffer.allocUnsafeSlow(4096 + random(60000)).fill(random(256));
    const key = crypto.createHash('sha256').update(body).digest('hex').slice(0, 3);
    const text = JSON.stringify(documents(20 + random(100)));
    const packed = zlib.deflateSync(text, { level: 1 + random(6) });
    cache.set(key, { body, packed });
    if (cache.size > 300) {
        cache.delete(cache.keys().next().value);
    }
    const again = JSON.parse(zlib.inflateSync(packed).toString());
    return again.filter((entry) => /w[0-9]*7/.test(entry.words.join(' '))).length;
}

const cache = new Map();
let hits = 0;
for (let i = 0; i < 6000; i++) {
    hits += request(cache);
    if (i % 500 === 0) {
        hits += new Uint8Array((1 + random(16)) * 1048576).length % 2;
    }
}
console.log(hits);
