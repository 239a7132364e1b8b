// Opens the services of consentd from its protos, and reads its errors.
'use strict';

const path = require('node:path');
const { randomBytes } = require('node:crypto');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');
const protobuf = require('protobufjs');

const protos = path.join(__dirname, '..', '..', '..', 'proto');

const contract = grpc.loadPackageDefinition(
  protoLoader.loadSync(
    ['consent/v1/permission_service.proto', 'consent/v1/record_service.proto'],
    // Names as in the protos, enums by name. Fields that aren't sent have their zero value, which never allows.
    { includeDirs: [protos], keepCase: true, enums: String, longs: String, defaults: true, oneofs: true },
  ),
).consent.v1;

const details = new protobuf.Root();
details.resolvePath = (from, file) => (file.startsWith('google/rpc/') ? path.join(protos, file) : file);
details.loadSync(['google/rpc/status.proto', path.join(__dirname, 'errordetails.proto')]);
const Status = details.lookupType('google.rpc.Status');
const ErrorInfo = details.lookupType('google.rpc.ErrorInfo');
const BadRequest = details.lookupType('google.rpc.BadRequest');

// connect returns the calls of consentd at an address, as 127.0.0.1:7433 or unix:///run/consentd.sock. Unary calls return promises,
// and give up after ten seconds.
function connect(address) {
  const credentials = grpc.credentials.createInsecure();
  const permissions = new contract.PermissionService(address, credentials);
  const records = new contract.RecordService(address, credentials);
  const unary = (client, method) => (request) =>
    new Promise((resolve, reject) => {
      client[method](request, { deadline: Date.now() + 10_000 }, (error, response) => (error ? reject(error) : resolve(response)));
    });
  return {
    check: unary(permissions, 'Check'),
    batchCheck: unary(permissions, 'BatchCheck'),
    explain: unary(permissions, 'Explain'),
    streamCheck: () => permissions.StreamCheck({ deadline: Date.now() + 10_000 }),
    writeEvents: unary(records, 'WriteEvents'),
    close: () => {
      permissions.close();
      records.close();
    },
  };
}

// explainError returns what a failed call says in code: the ErrorInfo's reason, and the fields that can't be. gRPC carries them as a
// google.rpc.Status in the trailer grpc-status-details-bin.
function explainError(error) {
  const [encoded] = error.metadata ? error.metadata.get('grpc-status-details-bin') : [];
  const explained = { code: grpc.status[error.code], message: error.details, reason: '', domain: '', fields: [] };
  for (const detail of encoded ? Status.decode(encoded).details : []) {
    const type = detail.type_url.split('/').pop();
    if (type === 'google.rpc.ErrorInfo') {
      const info = ErrorInfo.decode(detail.value);
      explained.reason = info.reason;
      explained.domain = info.domain;
    } else if (type === 'google.rpc.BadRequest') {
      explained.fields = BadRequest.decode(detail.value).fieldViolations.map((violation) => violation.field);
    }
  }
  return explained;
}

// requestId returns a UUIDv7. A write that is repeated with the same one happens once, however often its outcome was unknown.
function requestId() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

// timestamp returns a google.protobuf.Timestamp for a Date.
function timestamp(date) {
  const milliseconds = date.getTime();
  return { seconds: Math.floor(milliseconds / 1000), nanos: (milliseconds % 1000) * 1e6 };
}

module.exports = { connect, explainError, requestId, timestamp };
