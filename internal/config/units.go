package config

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// parseDuration is time.ParseDuration with days: "30d", "1d12h". A number
// without a unit is refused, 0 apart.
func parseDuration(text string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no duration: want a number with ms, s, m, h or d, such as 10m", text)
	rest, total := text, time.Duration(0)
	if days, after, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > 36500 {
			return 0, bad
		}
		total, rest = time.Duration(n)*day, after
		if rest == "" {
			return total, nil
		}
	}
	x, err := time.ParseDuration(rest)
	if err != nil || x < 0 {
		return 0, bad
	}
	return total + x, nil
}

// formatDuration is what parseDuration reads, in the largest unit that is whole.
func formatDuration(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if d >= unit.size && d%unit.size == 0 {
			return fmt.Sprintf("%d%s", d/unit.size, unit.name)
		}
	}
	return d.String()
}

// sizeUnits are those that may stand behind a size, the largest first.
func sizeUnits() []struct {
	name  string
	bytes int64
} {
	return []struct {
		name  string
		bytes int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}}
}

func parseSize(text string) (Size, error) {
	for _, unit := range sizeUnits() {
		number, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(x >= 0) || x*float64(unit.bytes) > math.MaxInt64/2 {
			break
		}
		return Size(x * float64(unit.bytes)), nil
	}
	return 0, fmt.Errorf("%q is no size: want a number with KiB, MiB, GiB or TiB, such as 512MiB", text)
}

// String is what parseSize reads.
func (s Size) String() string {
	for _, unit := range sizeUnits() {
		if int64(s) >= unit.bytes && int64(s)%unit.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(s)/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}

func parseShare(text string) (Share, error) {
	number, ok := strings.CutSuffix(text, "%")
	x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || err != nil || !(x >= 0 && x <= 100) {
		return 0, fmt.Errorf("%q is no percentage: want 0%% to 100%%, such as 0.5%%", text)
	}
	return Share(x / 100), nil
}

// String is what parseShare reads.
func (s Share) String() string { return strconv.FormatFloat(float64(s)*100, 'f', -1, 64) + "%" }

// parsePrefix takes an address for the prefix of itself alone.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, fmt.Errorf("%q is no address and no prefix: want such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32", text)
	}
	if prefix.Addr().Is4In6() {
		return prefix, fmt.Errorf("%q: write the IPv4 prefix itself", text)
	}
	if prefix != prefix.Masked() {
		return prefix, fmt.Errorf("%q has bits behind its length: want %v, or the address alone", text, prefix.Masked())
	}
	return prefix, nil
}

// suggestion is what to write instead of an unknown word.
func suggestion(word string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if n := edits(word, k); n < distance && n < len(k) {
			best, distance = k, n
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "want one of " + strings.Join(known, ", ")
}

// edits is the optimal string alignment distance (Damerau 1964): insertions,
// deletions, substitutions and swaps of neighbours.
func edits(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
