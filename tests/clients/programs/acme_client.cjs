// A command line around `acme-client`, the ACME library of Node.js: one command per call, and the account in files of
// the working directory. `suites/library.py` is its caller.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const net = require('node:net');
const tls = require('node:tls');
const { parseArgs } = require('node:util');
const acme = require('acme-client');

const ACCOUNT_KEY = 'account.key';
const ACCOUNT_URL = 'account.url';

// The reason for a revocation, RFC 5280 section 5.3.1.
const SUPERSEDED = 4;

const COMMANDS = { register, contact, issue, revoke, rollover, deactivate };

const OPTIONS = {
    kid: { type: 'string' },
    'hmac-key': { type: 'string' },
    challenge: { type: 'string', default: 'http-01' },
    output: { type: 'string' },
    rsa: { type: 'boolean', default: false },
};

async function register([email], options) {
    fs.writeFileSync(ACCOUNT_KEY, await acme.crypto.createPrivateEcdsaKey());
    const externalAccountBinding = options.kid ? { kid: options.kid, hmacKey: options['hmac-key'] } : {};
    const client = newClient({ externalAccountBinding });
    await client.createAccount({ termsOfServiceAgreed: true, contact: [`mailto:${email}`] });
    fs.writeFileSync(ACCOUNT_URL, client.getAccountUrl());
}

async function contact([email]) {
    const account = await knownClient().updateAccount({ contact: [`mailto:${email}`] });
    console.log(account.contact.join('\n'));
}

async function issue(names, options) {
    const client = knownClient();
    const order = await client.createOrder({ identifiers: names.map(identifier) });
    for (const authorization of await client.getAuthorizations(order)) {
        if (authorization.status !== 'valid') {
            await authorize(client, authorization, options.challenge);
        }
    }
    const newKey = options.rsa ? acme.crypto.createPrivateRsaKey : acme.crypto.createPrivateEcdsaKey;
    const [key, request] = await acme.crypto.createCsr({ altNames: names }, await newKey());
    const finalized = await client.finalizeOrder(order, request);
    const chain = await client.getCertificate(finalized);
    fs.mkdirSync(options.output, { recursive: true });
    fs.writeFileSync(path.join(options.output, 'key.pem'), key);
    fs.writeFileSync(path.join(options.output, 'chain.pem'), chain);
}

async function revoke([chain]) {
    const [leaf] = acme.crypto.splitPemChain(fs.readFileSync(chain));
    await knownClient().revokeCertificate(leaf, { reason: SUPERSEDED });
}

async function rollover() {
    const newKey = await acme.crypto.createPrivateEcdsaKey();
    await knownClient().updateAccountKey(newKey);
    fs.writeFileSync(ACCOUNT_KEY, newKey);
}

async function deactivate() {
    await knownClient().updateAccount({ status: 'deactivated' });
}

function newClient(options) {
    return new acme.Client({
        directoryUrl: process.env.DIRECTORY_URL,
        accountKey: fs.readFileSync(ACCOUNT_KEY),
        // The library's patience is made for a CA that takes seconds.
        backoffMin: 200,
        ...options,
    });
}

function knownClient() {
    return newClient({ accountUrl: fs.readFileSync(ACCOUNT_URL, 'utf8') });
}

function identifier(name) {
    return { type: net.isIP(name) ? 'ip' : 'dns', value: name };
}

async function authorize(client, authorization, type) {
    const challenge = authorization.challenges.find((offered) => offered.type === type);
    const keyAuthorization = await client.getChallengeKeyAuthorization(challenge);
    const withdraw = await ANSWERS[type](authorization, challenge, keyAuthorization);
    try {
        await client.completeChallenge(challenge);
        await client.waitForValidStatus(challenge);
    }
    finally {
        withdraw();
    }
}

// How each type of challenge is answered; every answer returns what takes it back.
const ANSWERS = {
    'http-01': (_, challenge, keyAuthorization) => publish(
        path.join(process.env.CHALLENGES, challenge.token),
        keyAuthorization,
    ),
    'dns-01': (authorization, _, value) => publish(
        path.join(process.env.ZONE, `_acme-challenge.${authorization.identifier.value}`, value),
        '',
    ),
    'tls-alpn-01': async (authorization, _, keyAuthorization) => {
        const [key, cert] = await acme.crypto.createAlpnCertificate(authorization, keyAuthorization);
        const server = tls.createServer({ key, cert, ALPNProtocols: ['acme-tls/1'] });
        await new Promise((listening) => { server.listen(process.env.TLS_PORT, '127.0.0.1', listening); });
        return () => server.close();
    },
};

function publish(file, content) {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, content);
    return () => fs.rmSync(file);
}

async function main() {
    const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
    const [command, ...operands] = positionals;
    await COMMANDS[command](operands, values);
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
