package main

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Of a program's mappings those are given back that cannot be written to and that no
// loader has changed.
func TestCleanMappings(t *testing.T) {
	const smaps = `00400000-00402000 r--p 00000000 fe:00 11062504                           /usr/bin/weir
Rss:                   8 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
00402000-01818000 r-xp 00002000 fe:00 11062504                           /usr/bin/weir
Rss:               14960 kB
Anonymous:             0 kB
01818000-02d47000 r--p 01418000 fe:00 11062504                           /usr/bin/weir
Anonymous:           132 kB
02d48000-02e7d000 rw-p 02947000 fe:00 11062504                           /usr/bin/weir
Anonymous:             0 kB
2a4dcc00000-2a4dd800000 rw-p 00000000 00:00 0 
Anonymous:          5628 kB
7f71f5bdd000-7f71f5c03000 r-xp 00000000 fe:00 326269                     /usr/lib/x86_64-linux-gnu/libc.so.6
Anonymous:             0 kB
7f71f5c03000-7f71f5c04000 r-xs 00000000 fe:00 11062504                   /usr/bin/weir
Anonymous:             0 kB
`
	got, err := cleanMappings(strings.NewReader(smaps), "/usr/bin/weir")
	want := mappings{{0x400000, 0x402000}, {0x402000, 0x1818000}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %x (%v), want %x", got, err, want)
	}
}

// What a process gives back of its own program it still runs, and it is its size no more.
func TestOwnImageIsGivenBack(t *testing.T) {
	image, err := ownImage()
	if err != nil || len(image) == 0 {
		t.Fatalf("%d mappings: %v", len(image), err)
	}
	if _, err := sharedMemory(); err != nil {
		t.Fatal(err)
	}
	if err := image.advise(unix.MADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	size, err := sharedMemory()
	if err != nil || size == 0 || size > imageKept {
		t.Errorf("%d bytes of files (%v), want at most %d", size, err, imageKept)
	}
}
