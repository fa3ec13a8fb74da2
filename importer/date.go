package importer

// Dates in front matter, file names and paths, read in the forms that other systems write. Entry
// points: parseDate, cutDay, dayInPath.

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	clockPattern   = regexp.MustCompile(`(?i)(\d{1,2}:\d{2}(?::\d{2})?)(?:[.,](\d{1,9}))?\s*([ap]\.?m\.?)?`)
	zonePattern    = regexp.MustCompile(`^(?i:z|utc|gmt|ut)?\s*(?:([+-])\s*(\d{1,2}):?(\d{2})?(?:\s+[A-Z]{3,4})?)?$`)
	yearPattern    = regexp.MustCompile(`(?:^|\s)(\d{4})$`)
	weekdayPattern = regexp.MustCompile(`(?i)^(mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+`)
	ordinalPattern = regexp.MustCompile(`(?i)\b(\d{1,2})(st|nd|rd|th)\b`)
	slashPattern   = regexp.MustCompile(`^\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}$`)
	timeMark       = regexp.MustCompile(`\d[Tt]$`)
	unixPattern    = regexp.MustCompile(`^\d{10}(\d{3})?$`)
)

// dayLayouts are the forms of a day that mean one day everywhere. 03/04/2020 isn't among them: it
// is March in America and April elsewhere.
var dayLayouts = []string{
	"2006-1-2", "2006/1/2", "2006.1.2", "20060102",
	"2 Jan 2006", "2 January 2006", "2-Jan-2006", "Jan 2 2006", "January 2 2006", "2006 Jan 2", "2006 January 2",
}

// americanZones are the zone names with a meaning in RFC 5322, section 4.3. Every other name stands
// for several offsets in different countries, so it is refused.
var americanZones = map[string]int{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}

// parseDate reads a date in the forms that people and programs write: ISO 8601 and YAML timestamps,
// dates as Go, Ruby, Python and JavaScript print them, English dates, Unix time in seconds or
// milliseconds. Without an offset it is UTC, as in Hugo and Zola; without a time of day it is
// midnight. The result is in UTC.
func parseDate(text string) (time.Time, error) {
	s := strings.Join(strings.Fields(text), " ")
	if i := strings.IndexByte(s, '('); i > 0 { // JavaScript repeats the zone's name in words
		s = strings.TrimSpace(s[:i])
	}
	if unixPattern.MatchString(s) {
		n, _ := strconv.ParseInt(s, 10, 64) // at most 13 digits
		if len(s) == 10 {
			n *= 1000
		}
		return time.UnixMilli(n).UTC(), nil
	}
	day, clock, zone := s, time.Duration(0), time.UTC
	if at := clockPattern.FindStringSubmatchIndex(s); at != nil {
		var err error
		if clock, err = parseClock(s, at); err != nil {
			return time.Time{}, fmt.Errorf("%q: %w", text, err)
		}
		after := strings.TrimSpace(s[at[1]:])
		day = s[:at[0]]
		if year := yearPattern.FindStringSubmatchIndex(after); year != nil { // Mon Jan 2 15:04:05 MST 2006
			day += " " + after[year[2]:year[3]]
			after = strings.TrimSpace(after[:year[0]])
		}
		if zone, err = parseZone(after); err != nil {
			return time.Time{}, fmt.Errorf("%q: %w", text, err)
		}
	}
	midnight, err := parseDay(day, zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q: %w", text, err)
	}
	at := midnight.Add(clock).UTC()
	if at.Year() > 9999 {
		return time.Time{}, fmt.Errorf("%q: after the year 9999", text)
	}
	return at, nil
}

func parseDay(text string, zone *time.Location) (time.Time, error) {
	s := weekdayPattern.ReplaceAllString(strings.TrimSpace(text), "")
	s = strings.TrimRight(strings.TrimSuffix(s, " at"), " ,")
	if timeMark.MatchString(s) {
		s = s[:len(s)-1]
	}
	s = ordinalPattern.ReplaceAllString(s, "$1")
	s = strings.Join(strings.Fields(strings.NewReplacer(",", " ", "Sept ", "Sep ", ". ", " ").Replace(s)), " ")
	for _, layout := range dayLayouts {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, nil
		}
	}
	if slashPattern.MatchString(s) {
		return time.Time{}, fmt.Errorf("day and month can't be told apart: write year-month-day")
	}
	return time.Time{}, fmt.Errorf("no date that is understood: write year-month-day, such as 2024-07-09 or 2024-07-09T15:04:05Z")
}

// parseClock reads the time of day that clockPattern found in s.
func parseClock(s string, at []int) (time.Duration, error) {
	layout, text := "15:04:05", s[at[2]:at[3]]
	if strings.Count(text, ":") == 1 {
		layout = "15:04"
	}
	if at[6] >= 0 {
		layout = strings.Replace(layout, "15", "3", 1) + "PM"
		text += strings.ToUpper(strings.ReplaceAll(s[at[6]:at[7]], ".", ""))
	}
	t, err := time.Parse(layout, text)
	if err != nil {
		return 0, fmt.Errorf("%s is no time of day", s[at[0]:at[1]])
	}
	clock := t.Sub(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC))
	if at[4] >= 0 {
		fraction, _ := strconv.Atoi((s[at[4]:at[5]] + "000000000")[:9])
		clock += time.Duration(fraction)
	}
	return clock, nil
}

func parseZone(text string) (*time.Location, error) {
	if hours, known := americanZones[strings.ToUpper(text)]; known {
		return time.FixedZone(text, hours*60*60), nil
	}
	found := zonePattern.FindStringSubmatch(text)
	if found == nil {
		return nil, fmt.Errorf("time zone %q isn't an offset such as +01:00", text)
	}
	hours, _ := strconv.Atoi("0" + found[2])
	minutes, _ := strconv.Atoi("0" + found[3])
	if hours > 14 || minutes > 59 { // the largest in use is +14:00, Kiribati
		return nil, fmt.Errorf("time zone %q is no offset that exists", text)
	}
	offset := hours*60*60 + minutes*60
	if found[1] == "-" {
		offset = -offset
	}
	return time.FixedZone("", offset), nil
}

var (
	namedDay  = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})(?:[-_ ](.*))?$`)
	folderDay = regexp.MustCompile(`(?:^|/)(\d{4})/(\d{2})/(\d{2})(?:/|$)`)
)

// cutDay removes the day from a name such as 2024-07-09-hello, as Jekyll and Zola do.
func cutDay(name string) (day time.Time, rest string, found bool) {
	parts := namedDay.FindStringSubmatch(name)
	if parts == nil {
		return time.Time{}, name, false
	}
	day, err := time.Parse(time.DateOnly, parts[1])
	return day, parts[2], err == nil && day.Year() > 1
}

// dayInPath finds the day in a path such as blog/2024/07/09/hello, midnight UTC.
func dayInPath(path string) (time.Time, bool) {
	parts := folderDay.FindStringSubmatch(path)
	if parts == nil {
		return time.Time{}, false
	}
	day, err := time.Parse(time.DateOnly, strings.Join(parts[1:], "-"))
	return day, err == nil && day.Year() > 1
}
