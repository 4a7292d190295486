'use strict';
// WildDuck's imap-core over the store of its own tests, with what that lacks: INTERNALDATE of APPEND, a COPY
// that keeps bodies, MOVE, RENAME of children, quota.  run_wildduck.js PORT TLS_PORT CERTIFICATE KEY
const [, , port, tlsPort, certificate, key] = process.argv;
const fs = require('fs');
const path = require('path');
const tls = require('tls');
const core = path.dirname(require.resolve('wildduck/imap-core/index.js'));
const makeServer = require(core + '/test/test-server.js');
const MemoryNotifier = require(core + '/test/memory-notifier.js');
const parseMimeTree = require(core + '/lib/indexer/parse-mime-tree');
const imapHandler = require(core + '/lib/handler/imap-handler');

const USER = 'id.bob';
const folders = new Map();
const subscribed = new Set();
let validity = 1000;

function add(name, specialUse) {
    const folder = {
        mailbox: Symbol(name), path: name, specialUse, uidValidity: ++validity, uidNext: 1,
        modifyIndex: 1, messages: [], journal: [],
    };
    folders.set(name, folder);
    subscribed.add(folder);
    return folder;
}

add('INBOX');
add('Sent Mail', '\\Sent');
add('Trash', '\\Trash');

const notifier = new MemoryNotifier({ logger: { info() {}, debug() {}, error() {} }, folders });

// Tells the other sessions, then calls back.
function announce(name, entries, done) {
    if (!entries.length) return done();
    notifier.addEntries(name, entries, () => { notifier.fire(USER); done(); });
}

function say(session, what, uid, rest) {
    session.writeStream.write(session.formatResponse(what, uid, rest));
}

function rename(from, to, session, callback) {
    if (!folders.has(from)) return callback(null, 'NONEXISTENT');
    if (folders.has(to)) return callback(null, 'ALREADYEXISTS');
    for (const [name, folder] of [...folders]) {
        if (name !== from && !name.startsWith(from + '/')) continue;
        folders.delete(name);
        folder.path = to + name.substr(from.length);
        folders.set(folder.path, folder);
    }
    callback(null, true);
}

function remove(name, session, callback) {
    if (!folders.has(name)) return callback(null, 'NONEXISTENT');
    if (name === 'INBOX' || folders.get(name).specialUse) return callback(null, 'CANNOT');
    folders.delete(name);
    callback(null, true);
}

function open(name, session, callback) {
    const f = folders.get(name);
    if (!f) return callback(null, 'NONEXISTENT');
    callback(null, {
        _id: name, path: name, specialUse: f.specialUse, uidValidity: f.uidValidity, uidNext: f.uidNext,
        modifyIndex: f.modifyIndex, uidList: f.messages.map(m => m.uid),
    });
}

function status(name, session, callback) {
    const f = folders.get(name);
    if (!f) return callback(null, 'NONEXISTENT');
    callback(null, {
        messages: f.messages.length, uidNext: f.uidNext, uidValidity: f.uidValidity,
        highestModseq: f.modifyIndex, unseen: f.messages.filter(m => !m.flags.includes('\\Seen')).length,
    });
}

function append(name, flags, date, raw, session, callback) {
    const f = folders.get(name);
    if (!f) return callback(null, 'TRYCREATE');
    const message = {
        uid: f.uidNext++, modseq: ++f.modifyIndex, idate: (date && new Date(date)) || new Date(),
        mimeTree: parseMimeTree(raw), flags: flags || [],
    };
    f.messages.push(message);
    announce(name, [{ command: 'EXISTS', uid: message.uid }],
        () => callback(null, true, { uidValidity: f.uidValidity, uid: message.uid }));
}

// What COPY and MOVE have in common.
function transfer(name, update, session, callback, isMove) {
    const from = folders.get(name);
    const to = folders.get(update.destination);
    if (!from) return callback(null, 'NONEXISTENT');
    if (!to) return callback(null, 'TRYCREATE');
    const chosen = from.messages.filter(m => update.messages.includes(m.uid));
    const copies = chosen.map(m =>
        Object.assign({}, m, { uid: to.uidNext++, flags: [...m.flags], modseq: ++to.modifyIndex }));
    to.messages.push(...copies);
    const told = {
        uidValidity: to.uidValidity, sourceUid: chosen.map(m => m.uid), destinationUid: copies.map(m => m.uid),
    };
    const arrived = copies.map(m => ({ command: 'EXISTS', uid: m.uid }));
    const left = isMove ? told.sourceUid.map(uid => ({ command: 'EXPUNGE', ignore: session.id, uid })) : [];
    if (isMove) {
        from.messages = from.messages.filter(m => !chosen.includes(m));
        for (const uid of told.sourceUid) say(session, 'EXPUNGE', uid);
    }
    announce(name, left, () => announce(update.destination, arrived, () => callback(null, true, told)));
}

function expunge(name, update, session, callback) {
    const f = folders.get(name);
    if (!f) return callback(null, 'NONEXISTENT');
    const gone = f.messages
        .filter(m => (!update.isUid || update.messages.includes(m.uid)) && m.flags.includes('\\Deleted'))
        .map(m => m.uid);
    f.messages = f.messages.filter(m => !gone.includes(m.uid));
    for (const uid of gone) if (!update.silent) say(session, 'EXPUNGE', uid);
    announce(name, gone.map(uid => ({ command: 'EXPUNGE', ignore: session.id, uid })),
        () => callback(null, true));
}

function store(name, update, session, callback) {
    const f = folders.get(name);
    if (!f) return callback(null, 'NONEXISTENT');
    const entries = [];
    const refused = [];
    const condstore = !!session.selected.condstoreEnabled;
    for (const message of f.messages.filter(m => update.messages.includes(m.uid))) {
        if (update.unchangedSince && message.modseq > update.unchangedSince) {
            refused.push(message.uid);
            continue;
        }
        const flags = new Set(update.action === 'set' ? [] : message.flags);
        for (const flag of update.value) update.action === 'remove' ? flags.delete(flag) : flags.add(flag);
        message.flags = [...flags];
        message.modseq = ++f.modifyIndex;
        if (!update.silent || condstore) {
            say(session, 'FETCH', message.uid, {
                uid: update.isUid ? message.uid : false, flags: update.silent ? false : message.flags,
                modseq: condstore ? message.modseq : false,
            });
        }
        entries.push({ command: 'FETCH', ignore: session.id, uid: message.uid, flags: message.flags });
    }
    announce(name, entries, () => callback(null, true, refused));
}

function fetch(name, options, session, callback) {
    const f = folders.get(name);
    if (!f) return callback(null, 'NONEXISTENT');
    const wanted = new Set(options.messages);
    const rows = f.messages.filter(m =>
        wanted.has(m.uid) && !(options.changedSince && m.modseq <= options.changedSince));
    const seen = rows.filter(m => options.markAsSeen && !m.flags.includes('\\Seen'));
    for (const message of seen) message.flags.unshift('\\Seen');
    const next = () => {
        const message = rows.shift();
        if (!message) return callback(null, true);
        const row = session.formatResponse('FETCH', message.uid, {
            query: options.query, values: session.getQueryResponse(options.query, message),
        });
        session.writeStream.write(imapHandler.compileStream(row), () => setImmediate(next));
    };
    announce(name, seen.map(m => ({ command: 'FETCH', ignore: session.id, uid: m.uid, flags: m.flags })), next);
}

function search(name, options, session, callback) {
    const f = folders.get(name);
    if (!f) return callback(null, 'NONEXISTENT');
    const found = [];
    const rest = [...f.messages];
    const next = () => {
        const message = rest.shift();
        if (!message) {
            return callback(null, {
                uidList: found.map(m => m.uid), highestModseq: Math.max(0, ...found.map(m => m.modseq)),
            });
        }
        session.matchSearchQuery(message, options.query, (error, match) => {
            if (match) found.push(message);
            setImmediate(next);
        });
    };
    next();
}

const credentials = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
for (const secure of [false, true]) {
    const server = makeServer({
        secure, ...credentials, logger: false, id: { name: 'wildduck' },
        SNICallback: (name, callback) => callback(null, tls.createSecureContext(credentials)),
        maxMessage: 50 * 1024 * 1024, enableCompression: true,
        ignoreSTARTTLS: true, // STARTTLS is offered, not demanded
    });
    server.notifier = notifier;
    server.onAuth = (login, session, callback) =>
        login.username === 'bob' && login.password === 'secret'
            ? callback(null, { user: { id: USER, username: 'bob' } }) : callback();
    server.onList = (query, session, callback) => callback(null, folders);
    server.onLsub = (query, session, callback) =>
        callback(null, [...folders.values()].filter(f => subscribed.has(f)));
    server.onSubscribe = (name, session, callback) =>
        folders.has(name) ? (subscribed.add(folders.get(name)), callback(null, true)) : callback(null, 'NONEXISTENT');
    server.onUnsubscribe = (name, session, callback) =>
        folders.has(name) ? (subscribed.delete(folders.get(name)), callback(null, true)) : callback(null, 'NONEXISTENT');
    server.onCreate = (name, session, callback) =>
        folders.has(name) ? callback(null, 'ALREADYEXISTS') : (add(name), callback(null, true));
    server.onRename = rename;
    server.onDelete = remove;
    server.onOpen = open;
    server.onStatus = status;
    server.onAppend = append;
    server.onCopy = (connection, name, update, session, callback) => transfer(name, update, session, callback, false);
    server.onMove = (name, update, session, callback) => transfer(name, update, session, callback, true);
    server.onExpunge = expunge;
    server.onStore = store;
    server.onFetch = fetch;
    server.onSearch = search;
    server.onGetQuotaRoot = server.onGetQuota = (root, session, callback) =>
        callback(null, { root: '', quota: 4e9, storageUsed: 1e6 });
    server.listen(+(secure ? tlsPort : port), '127.0.0.1');
}
process.on('uncaughtException', error => console.log(error.stack));
