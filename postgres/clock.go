package postgres

// bringForward is a statement that belongs in front of deliveries becoming due for the first time:
// what the same webhooks are to get before them is due now too. It is due anyway, since only
// retries have to wait, unless it became due by a clock that has gone back since: then what
// becomes due by the present clock would overtake it. Equal times go by the event's place.
//
// first names rows (stream, webhook_id, version) of what becomes due, the lowest version of each.
// Of what was never tried the times do not go down from version to version, and what was tried
// comes before it. So the one just before tells, and where the clock goes as it should nothing
// else is looked at. Parked deliveries have their order from elsewhere.
func bringForward(first string) string {
	return `UPDATE deliveries a SET next_attempt_at = now()
		FROM (SELECT stream, webhook_id, version FROM ` + first + ` f WHERE (
			SELECT ` + fromAhead("b") + ` FROM deliveries b
			WHERE b.stream = f.stream AND b.webhook_id = f.webhook_id AND b.status = 'pending'
			  AND b.version < f.version AND b.next_attempt_at IS NOT NULL
			ORDER BY b.version DESC LIMIT 1)) f
		WHERE a.stream = f.stream AND a.webhook_id = f.webhook_id AND a.status = 'pending' AND a.version < f.version
		  AND ` + fromAhead("a")
}

// fromAhead: a delivery was never tried (since it was last sent anew), and is not due yet.
func fromAhead(d string) string {
	return d + `.attempts = ` + d + `.attempts_before AND ` + d + `.next_attempt_at > now() AND ` + d + `.next_attempt_at < 'infinity'`
}
