from .tables import Table as Table
