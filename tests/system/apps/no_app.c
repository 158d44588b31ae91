/* no_app.c - a shared object that is no application: it has no hr_app. */
int hr_application(void);

int hr_application(void)
{
    return 0;
}
