package tail

import (
	"encoding/binary"
	"math"
	"slices"
)

// A file that is read to its end is remembered for long by its first bytes: by what is in
// it, not by its time or its name. A look that falls into the renames of a rotation does not
// see all of the files; one that it missed is told by its content when it is seen again,
// and what has come from elsewhere is read, however old it is.

// maxLedger is how many files that were read are remembered, at least, those written to
// last. Of a log with more files beside it, those that are not remembered and not newer are
// taken for read.
const maxLedger = 1024

// wholeFile is the offset of a file that holds nothing to read, however long it is.
const wholeFile = math.MaxInt64

// A ledger is a version, the floor, and what is remembered of so many files.
const (
	ledgerVersion = 1
	ledgerHead    = 1 + 8
	ledgerEntry   = 8 + 2 + 8 + 8
)

// Ledger gives the files that were read before those of Past, in the form that Recall
// takes, at most some 26 KiB. It is nil until Next has been called, and never changed
// later.
func (f *Follower) Ledger() []byte { return f.ledger }

// Recall takes what Ledger gave, before Resume.
func (f *Follower) Recall(ledger []byte) {
	if len(ledger) < ledgerHead || ledger[0] != ledgerVersion {
		return
	}
	f.ledger, f.knows = ledger, true
	f.floor = int64(binary.LittleEndian.Uint64(ledger[1:]))
	for entry := range slices.Chunk(ledger[ledgerHead:], ledgerEntry) {
		if len(entry) == ledgerEntry {
			f.gone(markOf(entry))
		}
	}
}

func appendMark(ledger []byte, k Mark) []byte {
	ledger = binary.LittleEndian.AppendUint64(ledger, k.Fingerprint)
	ledger = binary.LittleEndian.AppendUint16(ledger, uint16(k.Length))
	ledger = binary.LittleEndian.AppendUint64(ledger, uint64(k.Offset))
	return binary.LittleEndian.AppendUint64(ledger, uint64(k.Changed))
}

// markOf reads what appendMark wrote, be it damaged or not.
func markOf(entry []byte) (k Mark) {
	k.Fingerprint = binary.LittleEndian.Uint64(entry)
	k.Length = min(int64(binary.LittleEndian.Uint16(entry[8:])), fingerprintLength)
	k.Offset = max(0, int64(binary.LittleEndian.Uint64(entry[10:])))
	k.Changed = int64(binary.LittleEndian.Uint64(entry[18:]))
	return k
}

// remember makes Past and Ledger from what is known.
func (f *Follower) remember() {
	marks := f.byChange()
	cut := max(0, len(marks)-maxPast)
	f.past = slices.Clone(marks[cut:])
	old := marks[max(0, cut-f.most):cut]
	floor := f.floor
	if forgotten := cut - len(old); forgotten > 0 {
		floor = max(floor, marks[forgotten-1].Changed)
	}
	ledger := append(make([]byte, 0, ledgerHead+len(old)*ledgerEntry), ledgerVersion)
	ledger = binary.LittleEndian.AppendUint64(ledger, uint64(floor))
	for _, k := range old {
		ledger = appendMark(ledger, k)
	}
	if !slices.Equal(ledger, f.ledger) { // or it is the one that is saved already
		f.ledger = ledger
	}
}

// prune forgets what is too much: of the files that are not there, those that were written
// to last stay known, because renames can hide a file from a look, and packed forms are
// told by them. What was recalled of a file that is known again is not kept twice.
func (f *Follower) prune(present map[fileID]bool) {
	type content struct {
		fingerprint uint64
		length      int64
	}
	read := make(map[content]int64, len(f.known))
	var absent []Mark
	for id, k := range f.known {
		if read[content{k.Fingerprint, k.Length}] = max(read[content{k.Fingerprint, k.Length}], k.Offset); !present[id] {
			absent = append(absent, k)
		}
	}
	f.former = slices.DeleteFunc(f.former, func(k Mark) bool {
		offset, is := read[content{k.Fingerprint, k.Length}]
		return is && k.Length > 0 && offset >= k.Offset
	})
	slices.SortFunc(absent, compareMarks)
	for _, k := range absent[:max(0, len(absent)-f.most-maxPast)] {
		f.floor = max(f.floor, k.Changed)
		delete(f.known, k.id())
	}
	for id := range f.packed {
		if len(f.packed) <= len(present)+f.most {
			break
		}
		if !present[id] {
			delete(f.packed, id)
		}
	}
	for id := range f.torn {
		if !present[id] {
			delete(f.torn, id)
		}
	}
}

// gone keeps what was read of a file whose inode does not name it any more, of the files
// that were written to last.
func (f *Follower) gone(k Mark) {
	k.Device, k.Inode = 0, 0
	at, _ := slices.BinarySearchFunc(f.former, k, compareMarks)
	f.former = slices.Insert(f.former, at, k)
	if extra := len(f.former) - f.most - maxPast; extra > 0 {
		f.floor = max(f.floor, f.former[extra-1].Changed)
		f.former = slices.Delete(f.former, 0, extra)
	}
}

// older reports whether a file that is not known by its content is of the time before
// what is to be read. At the first look of a log that was never followed, that is all there
// is, or what is not newer than asked for.
func (f *Follower) older(s sibling) bool {
	switch {
	case s.changed() <= f.floor:
		return true
	case f.begun:
		return false
	case !f.resumed:
		return f.o.Since.IsZero() || !s.info.ModTime().After(f.o.Since)
	case f.before == nil:
		return f.file == nil || s.changed() < changedOf(f.file)
	}
	// A journal of before there were ledgers: there may have been more than it holds.
	return !f.knows && len(f.before) >= maxPast && s.changed() <= f.before[0].Changed
}

// olderPacked is older for packed files.
func (f *Follower) olderPacked(s sibling) bool {
	switch {
	case f.begun || !f.resumed || f.knows:
		return f.older(s)
	case len(f.before) > 0:
		return s.changed() <= f.before[0].Changed
	}
	return f.changed == 0 || s.changed() <= f.changed
}
