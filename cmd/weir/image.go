package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The program is one file with every role in it, and Linux maps more of it than is touched:
// 64 KiB, or all of the piece that it has of the file in memory, which may be 2 MiB. Soon
// the whole file counts as this process' memory, though a collector or a processor uses little of it. So
// its mapping is cut into pieces, beyond which Linux maps nothing, and what is not used is
// given back; what is used comes back at the price of a page fault, from the system's cache.
const (
	imageKept  = 8 << 20 // of the program's file and libraries may be resident, in bytes
	imagePiece = 64 << 10
	imagePause = time.Second / 4
)

// giveBackImage gives pages of the program's file back, until ctx ends.
func giveBackImage(ctx context.Context) error {
	image, err := ownImage()
	if err != nil {
		return err
	}
	for {
		if size, err := sharedMemory(); err != nil {
			return err
		} else if size > imageKept {
			if err := image.advise(unix.MADV_DONTNEED); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(imagePause):
		}
	}
}

// sharedMemory is how much of this process' memory is of files, in bytes.
func sharedMemory() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident, shared int64
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared); err != nil {
		return 0, fmt.Errorf("/proc/self/statm: %w", err)
	}
	return shared * int64(os.Getpagesize()), nil
}

// mappings are ranges of addresses.
type mappings []mapping

type mapping struct{ from, to uintptr }

// ownImage is what is mapped of the program's file and nobody can write to, cut into pieces.
func ownImage() (mappings, error) {
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil, err
	}
	defer smaps.Close()
	path, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	all, err := cleanMappings(smaps, path)
	if err != nil {
		return nil, err
	}
	// Neighbours that differ in anything stay apart: every second piece is left out of a
	// core dump, which has no need of it.
	var pieces mappings
	for _, m := range all {
		for at := m.from; at < m.to; at += 2 * imagePiece {
			pieces = append(pieces, mapping{at, min(at+imagePiece, m.to)})
		}
	}
	return all, pieces.advise(unix.MADV_DONTDUMP)
}

func (all mappings) advise(advice uintptr) error {
	for _, m := range all {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, advice); errno != 0 {
			return fmt.Errorf("madvise %x-%x: %w", m.from, m.to, errno)
		}
	}
	return nil
}

// cleanMappings are the mappings of a file, in the form of proc(5)'s smaps, that are not
// writable and hold nothing that is not in the file: what a loader has changed there would
// be lost.
func cleanMappings(smaps io.Reader, file string) (clean mappings, err error) {
	var now mapping
	candidate := false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		line := lines.Text()
		var next mapping
		var access string
		if n, _ := fmt.Sscanf(line, "%x-%x %4s", &next.from, &next.to, &access); n == 3 {
			_, path, _ := strings.Cut(line, "/")
			now, candidate = next, strings.HasPrefix(access, "r-") && access[3] == 'p' && "/"+path == file
			continue
		}
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, "Anonymous: %d kB", &kilobytes); candidate && n == 1 && kilobytes == 0 {
			clean = append(clean, now)
		}
	}
	return clean, lines.Err()
}
