package gzipped_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/gzipped"
)

var packer gzipped.Packer

func TestAccepted(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "gzip": true, "gzip, deflate, br, zstd": true, "GZIP": true, "br": false, "*": true, "*;q=0": false,
		"gzip;q=0": false, "gzip;q=0, *": false, "*, gzip;q=0.000": false, "gzip ; q=0.5": true, "gzip;q=x": false,
		"br, *;q=0.1": true, "identity;q=1, gzip;q=0.2": true, "gzipped": false, ",;,": false,
	} {
		if got := gzipped.Accepted(http.Header{"Accept-Encoding": {accept}}); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
	if !gzipped.Accepted(http.Header{"Accept-Encoding": {"br", "gzip"}}) || gzipped.Accepted(nil) {
		t.Error("the header's lines are one list")
	}
}

func unpacked(t *testing.T, b []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Another library reads what is appended, with its checksum.
func TestAppend(t *testing.T) {
	long := strings.Repeat("all work and no play ", 10_000)
	for _, parts := range [][]string{{}, {""}, {"a"}, {"a", "", "b"}, {long, "short", long}} {
		var in [][]byte
		for _, part := range parts {
			in = append(in, []byte(part))
		}
		got := packer.Append([]byte("before"), in...)
		if text := unpacked(t, got[len("before"):]); text != strings.Join(parts, "") {
			t.Errorf("%d parts come as %d bytes", len(parts), len(text))
		}
	}
	if small := packer.Append(nil, []byte(long)); len(small) > len(long)/20 {
		t.Errorf("%d bytes are %d", len(long), len(small))
	}
}

// A guess at a secret that stands in another part saves nothing, right or wrong.
func TestPartsTellNothingOfEachOther(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := func() []byte {
		var b []byte
		for range 200 {
			b = fmt.Appendf(b, "%016x", random.Uint64())
		}
		return b
	}
	const frame = 10 + 5 + 8 // header, last block and trailer, which are there once
	secret := noise()
	for what, guess := range map[string][]byte{"right": secret, "wrong": noise()} {
		apart := len(packer.Append(nil, secret)) + len(packer.Append(nil, guess)) - frame
		if size := len(packer.Append(nil, secret, guess)); size != apart {
			t.Errorf("the %s guess: %d bytes, apart they are %d", what, size, apart)
		}
	}
}
