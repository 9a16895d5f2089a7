mod ca_crl;
mod ca_csr;
mod ca_issue;
mod ca_keys;
mod ca_lint;
mod ca_pki;
mod ca_tools;
