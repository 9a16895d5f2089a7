"""A web server of the files in a directory, whose log says who asked: website.py DIRECTORY."""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


def main():
    server = ThreadingHTTPServer(("0.0.0.0", 80), partial(SimpleHTTPRequestHandler, directory=sys.argv[1]))
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
