package app

import (
	"io/fs"
	"testing"
)

func TestContainersSayHowMuchMemoryThereIs(t *testing.T) {
	const two, one = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
	cases := map[string]struct {
		reason string
		files  map[string]string
		want   int64
	}{
		"None":      {"no container", nil, 0},
		"Two":       {"version 2", map[string]string{two: "536870912\n"}, 512 << 20},
		"Unlimited": {"without a limit", map[string]string{two: "max\n"}, 0},
		"One":       {"version 1", map[string]string{one: "1073741824\n"}, 1 << 30},
		"OneMax":    {"version 1 without a limit", map[string]string{one: "9223372036854771712\n"}, 0},
		"Zero":      {"nothing is no limit that anybody could keep", map[string]string{two: "0\n"}, 0},
	}
	for name, c := range cases {
		got := containerMemory(func(path string) ([]byte, error) {
			if text, ok := c.files[path]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		})
		if got != c.want {
			t.Errorf("%s: %s: %d, not %d", name, c.reason, got, c.want)
		}
	}
}
