"""How fast is an extraction, stage by stage and as a whole? ``fouls bench``, and the trial of ``extract --dry-run``."""
