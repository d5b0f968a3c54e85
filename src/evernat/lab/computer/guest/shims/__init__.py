"""Commands of a stock image as they are in an instance of the lab: same words, same exit statuses, small inside."""
