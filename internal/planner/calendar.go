package planner

import "time"

// SpendPeriod is the length of a window in which spending is counted.
type SpendPeriod string

// The periods.
const (
	// PeriodDay is a calendar day.
	PeriodDay SpendPeriod = "Day"
	// PeriodWeek begins on Monday.
	PeriodWeek SpendPeriod = "Week"
	// PeriodMonth is a calendar month.
	PeriodMonth SpendPeriod = "Month"
)

const (
	daysPerWeek = 7
	day         = 24 * time.Hour
)

// PeriodStart returns the first moment of the period that holds a moment, in a
// zone. A period that is not known is a day.
func PeriodStart(period SpendPeriod, zone *time.Location, at time.Time) time.Time {
	year, month, date := at.In(zone).Date()
	switch period {
	case PeriodMonth:
		date = 1
	case PeriodWeek:
		sinceMonday := (int(at.In(zone).Weekday()) + daysPerWeek - 1) % daysPerWeek
		date -= sinceMonday
	default:
	}
	return dayStart(zone, year, month, date)
}

// PeriodEnd returns the first moment of the period after the one that begins at
// start. Where the clocks change, a day is 23 or 25 hours long.
func PeriodEnd(period SpendPeriod, zone *time.Location, start time.Time) time.Time {
	year, month, date := start.In(zone).Date()
	switch period {
	case PeriodMonth:
		return dayStart(zone, year, month+1, 1)
	case PeriodWeek:
		return dayStart(zone, year, month, date+daysPerWeek)
	default:
		return dayStart(zone, year, month, date+1)
	}
}

// dayStart returns the first moment of a calendar day. In some zones the clocks
// change at midnight, so that a day has no 00:00, or that the day before has an
// hour more; then the moment is searched for.
func dayStart(zone *time.Location, year int, month time.Month, date int) time.Time {
	wanted := dayNumber(time.Date(year, month, date, 0, 0, 0, 0, time.UTC))
	guess := time.Date(year, month, date, 0, 0, 0, 0, zone)
	if dayNumber(guess) == wanted && dayNumber(guess.Add(-time.Second)) < wanted {
		return guess
	}
	// A whole day was skipped once, at the date line.
	const farthest = 26 * time.Hour
	before, after := guess.Add(-farthest), guess.Add(farthest)
	for after.Sub(before) > time.Second {
		middle := before.Add(after.Sub(before) / 2).Truncate(time.Second)
		if dayNumber(middle) < wanted {
			before = middle
		} else {
			after = middle
		}
	}
	return after
}

// dayNumber counts the days of a time's own calendar.
func dayNumber(at time.Time) int64 {
	year, month, date := at.Date()
	const secondsPerDay = 86_400
	return time.Date(year, month, date, 0, 0, 0, 0, time.UTC).Unix() / secondsPerDay
}
