# Sourced by the hooks: TXT records of the test's DNS server are empty files, $ZONE/<name>/<value>.

publish() {
    mkdir -p "$ZONE/$1"
    : >"$ZONE/$1/$2"
}

withdraw() {
    rm -f "$ZONE/$1/$2"
}
