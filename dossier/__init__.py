"""The dossier: what a regulator, a data protection officer and an auditor ask, answered from what the home holds."""
