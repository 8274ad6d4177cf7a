"""Problems solved without samples."""
