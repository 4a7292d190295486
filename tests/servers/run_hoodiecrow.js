'use strict';
// Hoodiecrow with everything it has.  run_hoodiecrow.js PORT - CERTIFICATE KEY
const [, , port, , certificate, key] = process.argv;
const fs = require('fs');
const hoodiecrow = require('hoodiecrow-imap');

hoodiecrow({
    plugins: ['ID', 'STARTTLS', 'SASL-IR', 'AUTH-PLAIN', 'NAMESPACE', 'IDLE', 'ENABLE', 'CONDSTORE',
        'LITERALPLUS', 'UNSELECT', 'SPECIAL-USE', 'CREATE-SPECIAL-USE', 'MOVE', 'UIDPLUS'],
    credentials: { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) },
    storage: { INBOX: {}, '': { separator: '/', folders: { Trash: { 'special-use': '\\Trash' } } } },
    users: { bob: { password: 'secret' } },
    id: { name: 'hoodiecrow' },
}).listen(+port, '127.0.0.1');
process.on('uncaughtException', error => console.log(error.stack));
