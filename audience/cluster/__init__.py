"""Other machines that do the work: functions and arguments in, results out."""
